update gaps
set state = 'filling', attempts = attempts + 1, changed_at = clock_timestamp()
where gap_id = any(%(gap_ids)s) and state in ('detected', 'filling')
returning gap_id, exchange, symbol, lower(ids) as first_id, upper(ids) - 1 as last_id, window_from, window_to, attempts
