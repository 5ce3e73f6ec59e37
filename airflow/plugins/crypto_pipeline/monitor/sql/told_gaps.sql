-- Gaps that are open, and those whose state changed since a run began, with what is missing of them still.
select
    gap_id, exchange, symbol, kind, lower(ids) as first_id, upper(ids) - 1 as last_id, window_from, window_to, state,
    attempts, trades_recovered, detected_at, verified_at, detail,
    (
        select coalesce(sum(upper(part) - lower(part)), 0)::bigint
        from unnest(int8multirange(ids) - coalesce(seen, '{}')) as part
    ) as missing
from gaps
left join coverage using (exchange, symbol)
where state in ('detected', 'filling') or changed_at >= %(since)s
order by exchange, symbol, window_from, gap_id
