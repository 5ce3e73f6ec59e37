-- said in the transaction that forgets, so that no bar is rebuilt twice
update bar_differences
set state = 'rebuilding', rebuilds = rebuilds + 1, changed_at = clock_timestamp(), mailed_at = null
where exchange = %(exchange)s and symbol = %(symbol)s and window_start >= %(start)s and window_start < %(end)s
    and state = 'found'
