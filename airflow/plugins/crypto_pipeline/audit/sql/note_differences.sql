-- what differs now; one that was settled and differs again is found anew, but not rebuilt again
insert into bar_differences as known (exchange, symbol, window_start, field, bar_value, candle_value)
select %(exchange)s, %(symbol)s, window_start, field, bar_value, candle_value
from differing_fields(%(exchange)s, %(symbol)s, %(start)s, %(end)s)
on conflict (exchange, symbol, window_start, field) do update set
    bar_value = excluded.bar_value,
    candle_value = excluded.candle_value,
    state = case when known.state = 'settled' then 'found' else known.state end,
    changed_at = case when known.state = 'settled' then clock_timestamp() else known.changed_at end,
    mailed_at = case when known.state = 'settled' then null else known.mailed_at end,
    detail = case when known.state = 'settled' then null else known.detail end
where known.state = 'settled'
    or (known.bar_value, known.candle_value) is distinct from (excluded.bar_value, excluded.candle_value)
