-- The messages of trades that are committed already.
with ranges as (
    select symbol_no, lo, hi from seen join symbols using (exchange, symbol)
)
select p.i
from (from parsed where not above) p
asof join ranges r on p.symbol_no = r.symbol_no and p.id >= r.lo
where p.id <= r.hi
