-- the trades cannot be had, so the bar stays what it is
update bar_differences
set state = 'stands', detail = %(detail)s, changed_at = clock_timestamp(), mailed_at = null
where exchange = %(exchange)s and symbol = %(symbol)s and window_start >= %(start)s and window_start < %(end)s
    and state = 'found'
