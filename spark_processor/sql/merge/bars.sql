-- Open by the lowest id, close by the highest; a bar that changes is not proven any more.
insert into trades_1min_agg as bar (
    exchange, symbol, window_start, open, high, low, close, volume, quote_volume, taker_buy_volume,
    taker_buy_quote_volume, trade_count, first_trade_id, last_trade_id
)
select
    exchange, symbol, to_timestamp(minute * 60), (array_agg(open order by first_id))[1], max(high), min(low),
    (array_agg(close order by last_id desc))[1], sum(volume), sum(quote_volume), sum(taker_buy_volume),
    sum(taker_buy_quote_volume), sum(trades), min(first_id), max(last_id)
from stage
where kind = 'bar'
group by exchange, symbol, minute
on conflict (exchange, symbol, window_start) do update set
    open = case when excluded.first_trade_id < bar.first_trade_id then excluded.open else bar.open end,
    high = greatest(bar.high, excluded.high),
    low = least(bar.low, excluded.low),
    close = case when excluded.last_trade_id > bar.last_trade_id then excluded.close else bar.close end,
    volume = bar.volume + excluded.volume,
    quote_volume = bar.quote_volume + excluded.quote_volume,
    taker_buy_volume = bar.taker_buy_volume + excluded.taker_buy_volume,
    taker_buy_quote_volume = bar.taker_buy_quote_volume + excluded.taker_buy_quote_volume,
    trade_count = bar.trade_count + excluded.trade_count,
    first_trade_id = least(bar.first_trade_id, excluded.first_trade_id),
    last_trade_id = greatest(bar.last_trade_id, excluded.last_trade_id),
    updated_at = clock_timestamp(),
    proven_at = null
