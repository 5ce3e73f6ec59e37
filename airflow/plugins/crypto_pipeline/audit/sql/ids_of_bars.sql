-- the trades that a stretch of bars was made of
select min(first_trade_id) as first_id, max(last_trade_id) as last_id
from trades_1min_agg
where exchange = %(exchange)s and symbol = %(symbol)s and window_start >= %(start)s and window_start < %(end)s
