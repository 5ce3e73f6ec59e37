-- The table of bars that a project without proofs would have; the columns are those of this project's own.
create table trades_1min_agg (
    exchange text, symbol text, window_start timestamptz,
    open numeric, high numeric, low numeric, close numeric, volume numeric, quote_volume numeric,
    trade_count bigint, taker_buy_volume numeric, taker_buy_quote_volume numeric,
    primary key (exchange, symbol, window_start)
)
