-- The ids that each symbol's messages account for (order.py).
select 'ids' as kind, exchange, symbol, first_id, last_id, live_from, seen
from accounted join symbols using (symbol_no)
