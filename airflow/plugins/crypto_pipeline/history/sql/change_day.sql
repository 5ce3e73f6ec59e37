-- what became of a day
update history_days
set state = %(state)s,
    rows_written = coalesce(%(rows_written)s, rows_written),
    detail = %(detail)s,
    changed_at = clock_timestamp()
where exchange = %(exchange)s and symbol = %(symbol)s and day = %(day)s and what = %(what)s
