-- The newest bars of each symbol, as the Spark job builds them from trades.
select exchange, symbol, window_start, open, high, low, close, volume, trade_count, proven_at
  from trades_1min_agg
 where window_start > now() - interval '1 hour'
 order by window_start desc, exchange, symbol;
