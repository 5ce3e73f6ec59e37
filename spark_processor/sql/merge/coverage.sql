-- Seen grows by the ids of all messages; wanted reaches from the lowest live id upwards, as far as nobody objects.
insert into coverage as c (exchange, symbol, seen, wanted)
select
    exchange, symbol, range_agg(seen),
    case when min(live_from) is null then '{}' else int8multirange(int8range(min(live_from), null)) end
from stage
where kind = 'ids'
group by exchange, symbol
on conflict (exchange, symbol) do update set
    seen = c.seen + excluded.seen,
    wanted = c.wanted + (excluded.wanted - c.unwanted),
    updated_at = clock_timestamp()
where not c.seen @> excluded.seen or not c.wanted @> (excluded.wanted - c.unwanted)
