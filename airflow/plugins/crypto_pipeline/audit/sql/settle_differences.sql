-- what differed and is equal now
update bar_differences as known
set state = 'settled',
    detail = case
        when known.state = 'rebuilding' then 'rebuilt from the trades that the exchange gives over REST'
        else 'equal by now: bar or candle has changed since'
    end,
    changed_at = clock_timestamp(),
    mailed_at = null
from audited_minutes(%(exchange)s, %(symbol)s, %(start)s, %(end)s) as minute
where known.exchange = %(exchange)s and known.symbol = %(symbol)s and known.window_start = minute.window_start
    and known.state <> 'settled'
    -- a field may have become equal while others still differ; so a whole minute settles
    and minute.verdict = 'equal'
