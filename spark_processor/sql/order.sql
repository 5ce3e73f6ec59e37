-- The messages of each symbol in the order of their ids: which of them is a trade not counted yet (fresh), and where
-- the ids they account for, [lo, id], begin and end to touch each other (starts, ends).
create temp table ordered as
with ranges as (
    select symbol_no, lo, hi from seen join symbols using (exchange, symbol)
),
judged as (
    select *, false as seen from parsed where above
    union all by name
    select p.*, coalesce(p.id <= r.hi, false) as seen
    from (from parsed where not above) p
    asof left join ranges r on p.symbol_no = r.symbol_no and p.id >= r.lo
),
neighbours as (
    select *, lag(id) over w as previous, lag(content) over w as previous_content, lead(lo) over w as next_lo
    from judged window w as (partition by symbol_no order by id, lo)
)
select i, symbol_no, id, lo, price, quantity, quote, buy, traded_at_us, received_at_us, ws,
       -- of equal ids the first is the trade
       not seen and previous is distinct from id as fresh,
       previous is null or lo > previous + 1 as starts,
       next_lo is null or next_lo > id + 1 as ends,
       -- contradictions: it attests that nothing lies where another has a trade, or has another content
       previous is not null and previous <> id and lo <= previous as denies,
       previous = id and content <> previous_content as differs
from neighbours
