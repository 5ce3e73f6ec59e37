-- Bars of this batch whose ids overlap a neighbour's: trade times fell as ids grew, across a minute's edge. The proof
-- rests on their not doing so.
select count(*)
from (
    select distinct exchange, symbol, to_timestamp(minute * 60) as window_start from stage where kind = 'bar'
) touched
join trades_1min_agg bar using (exchange, symbol, window_start)
left join lateral (
    select last_trade_id from trades_1min_agg x
    where x.exchange = bar.exchange and x.symbol = bar.symbol and x.window_start < bar.window_start
    order by x.window_start desc limit 1
) before on true
left join lateral (
    select first_trade_id from trades_1min_agg x
    where x.exchange = bar.exchange and x.symbol = bar.symbol and x.window_start > bar.window_start
    order by x.window_start limit 1
) after on true
where before.last_trade_id > bar.first_trade_id or after.first_trade_id < bar.last_trade_id
