-- What Python judged joins `parsed`. Its numbers come as exact text; a wide one (beyond DECIMAL(18, 8), or a product
-- from 10^14 on) stays text and goes into its bar by itself (bars.sql).
insert into symbols
select (select coalesce(max(symbol_no), 0) from symbols) + row_number() over (), exchange, symbol, null
from (select distinct exchange, symbol from slow) anti join symbols using (exchange, symbol);

insert into parsed by name
select i, symbol_no, id, lo, coalesce(id > top, true) as above,
       case when n.quantity > 0 then nullif(n.price, 0) end as price, n.quantity,
       n.price::decimal(19, 8) * n.quantity::decimal(19, 8) as quote,
       buy, traded_at_us, received_at_us, ws,
       case when wide then hash(slow.price, slow.quantity, buy, traded_at_us)
            else hash(n.price, n.quantity, buy, traded_at_us) end as content
from slow
join (select i, price::decimal(18, 8) as price, quantity::decimal(18, 8) as quantity from slow where not wide
      union all select i, null, null from slow where wide) n using (i)
join symbols using (exchange, symbol)
