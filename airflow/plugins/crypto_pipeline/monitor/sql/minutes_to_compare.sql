-- The minutes of a period as people read them.
select window_start, open, high, low, close, volume, quote_volume, completeness
from bars_1min_grid(%(exchange)s, %(symbol)s, %(start)s, %(end)s)
