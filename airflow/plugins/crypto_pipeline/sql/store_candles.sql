-- the exchange's newest word on a minute counts
insert into candles_1min (
    exchange, symbol, window_start, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume,
    taker_buy_quote_volume, fetched_at
)
values %s
on conflict (exchange, symbol, window_start) do update set
    open = excluded.open,
    high = excluded.high,
    low = excluded.low,
    close = excluded.close,
    volume = excluded.volume,
    quote_volume = excluded.quote_volume,
    trade_count = excluded.trade_count,
    taker_buy_volume = excluded.taker_buy_volume,
    taker_buy_quote_volume = excluded.taker_buy_quote_volume,
    fetched_at = excluded.fetched_at
where candles_1min.fetched_at < excluded.fetched_at
