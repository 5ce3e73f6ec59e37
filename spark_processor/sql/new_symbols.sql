-- Symbols without coverage: numbered too if plainly well formed, else their messages are left to the slow path.
insert into symbols
select (select coalesce(max(symbol_no), 0) from symbols) + row_number() over (), exchange, symbol, null
from (select distinct exchange, symbol from parsed where symbol_no is null)
where regexp_full_match(symbol, '[A-Z0-9]{1,20}-[A-Z0-9]{1,20}');

update parsed set symbol_no = s.symbol_no
from symbols s where parsed.symbol_no is null and s.exchange = parsed.exchange and s.symbol = parsed.symbol;

delete from parsed where symbol_no is null
