-- what no rebuild can mend any more
update bar_differences as known
set state = 'stands',
    detail = case
        when not %(consecutive)s
            then 'the ids of this exchange do not tell what is missing; bars_1min shows the candle'
        when known.rebuilds > 0
            then 'still different after its trades were fetched again: trades and candles of the exchange disagree'
        else 'by the ids the minute has no trade, and its candle has some: there is no bar to rebuild'
    end,
    changed_at = clock_timestamp(),
    mailed_at = null
from audited_minutes(%(exchange)s, %(symbol)s, %(start)s, %(end)s) as minute
where known.exchange = %(exchange)s and known.symbol = %(symbol)s and known.window_start = minute.window_start
    and known.state in ('found', 'rebuilding')
    and minute.verdict = 'different'
    and (not %(consecutive)s or known.rebuilds > 0 or minute.completeness = 'empty')
