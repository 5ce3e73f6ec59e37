-- What to read: trade bars where they are whole, else the exchange's own candle; completeness says which.
select exchange, symbol, window_start, open, high, low, close, volume, trade_count, source, completeness
  from bars_1min
 where window_start > now() - interval '1 hour'
 order by exchange, symbol, window_start desc;
