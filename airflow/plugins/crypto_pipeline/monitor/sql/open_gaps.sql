-- Gaps to be filled, oldest first, and how many of their ids are missing still.
select
    gap_id, exchange, symbol, kind, lower(ids) as first_id, upper(ids) - 1 as last_id, window_from, window_to,
    attempts, detail,
    (
        select coalesce(sum(upper(part) - lower(part)), 0)::bigint
        from unnest(int8multirange(ids) - coalesce(seen, '{}')) as part
    ) as missing
from gaps
left join coverage using (exchange, symbol)
where state in ('detected', 'filling') and ids is not null
order by window_from, gap_id
