-- The ids that each symbol's messages account for, duplicates too: they may attest what the first copy could not.
-- first_id, last_id: the span of the fresh ones, which no other task may share. live_from: the lowest live id.
select 'ids' as kind, exchange, symbol, first_id, last_id, live_from,
       '{' || array_to_string(
           list_transform(list_zip(starts, ends), lambda r: '[' || r[1] || ',' || (r[2] + 1) || ')')
           || coalesce(denials, []), ',') || '}' as seen
from (
    select symbol_no, min(id) filter (fresh) as first_id, max(id) filter (fresh) as last_id,
           min(id) filter (ws) as live_from,
           list(lo order by id, lo) filter (starts) as starts, list(id order by id, lo) filter (ends) as ends,
           list('[' || lo || ',' || (id + 1) || ')') filter (denies) as denials
    from ordered group by symbol_no
)
join symbols using (symbol_no)
