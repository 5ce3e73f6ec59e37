-- the minutes, and how many trade ids each spans
select bar.window_start, bar.last_trade_id - bar.first_trade_id + 1
from trades_1min_agg as bar
join audited_minutes(%(exchange)s, %(symbol)s, %(start)s, %(end)s) as minute using (window_start)
where bar.exchange = %(exchange)s and bar.symbol = %(symbol)s
    and bar.window_start >= %(start)s and bar.window_start < %(end)s
    and minute.verdict = 'different'
    and exists (
        select from bar_differences as known
        where known.exchange = bar.exchange and known.symbol = bar.symbol
            and known.window_start = bar.window_start
            and known.state = 'found'
    )
    and not exists (
        select from bar_differences as known
        where known.exchange = bar.exchange and known.symbol = bar.symbol
            and known.window_start = bar.window_start
            and known.rebuilds > 0
    )
order by bar.window_start
