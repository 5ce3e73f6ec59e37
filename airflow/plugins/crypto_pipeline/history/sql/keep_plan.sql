-- the newest plan of a day counts
insert into history_days (exchange, symbol, day, what, window_from, window_to, ids, way, calls, weight)
values (
    %(exchange)s, %(symbol)s, %(day)s, %(what)s, %(start)s, %(end)s, %(ids)s::int8range, %(way)s, %(calls)s,
    %(weight)s
)
on conflict (exchange, symbol, day, what) do update set
    window_from = excluded.window_from,
    window_to = excluded.window_to,
    ids = excluded.ids,
    way = excluded.way,
    calls = excluded.calls,
    weight = excluded.weight,
    state = 'planned',
    rows_written = 0,
    detail = null,
    planned_at = clock_timestamp(),
    changed_at = clock_timestamp()
