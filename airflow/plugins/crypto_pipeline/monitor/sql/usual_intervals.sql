-- How long a symbol usually takes from one trade to the next, in seconds, over the day before its newest bar.
select
    symbol,
    extract(epoch from max(window_start) - min(window_start) + interval '1 minute') / sum(trade_count) as interval_s
from trades_1min_agg as bar
where exchange = %(exchange)s and symbol = any(%(symbols)s) and window_start > (
    select max(window_start) - interval '1 day' from trades_1min_agg as newest
    where newest.exchange = bar.exchange and newest.symbol = bar.symbol
)
group by symbol
