insert into trades_1min_agg as bar
select * from stage
on conflict (exchange, symbol, window_start) do update set
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, quote_volume = excluded.quote_volume, trade_count = excluded.trade_count,
    taker_buy_volume = excluded.taker_buy_volume, taker_buy_quote_volume = excluded.taker_buy_quote_volume
