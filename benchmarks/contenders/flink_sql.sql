-- The job as Flink's documentation would write it: Kafka table with a watermark, tumbling window, upsert over JDBC.
-- Flink SQL has no "price of the lowest id": first_value and last_value go by arrival.
-- https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/dev/table/sql/queries/window-agg/
create table raw_trades (
    exchange string, symbol string, trade_id bigint, price decimal(18, 8), quantity decimal(18, 8),
    taker_side string, traded_at_us bigint,
    traded_at as to_timestamp_ltz(traded_at_us / 1000, 3),
    watermark for traded_at as traded_at - interval '10' minute
) with (
    'connector' = 'kafka', 'properties.bootstrap.servers' = '$servers', 'topic' = '$topic',
    'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json',
    'properties.max.partition.fetch.bytes' = '16777216', 'properties.fetch.max.bytes' = '104857600',
    'properties.max.poll.records' = '20000'
);

create table bars (
    exchange string, symbol string, window_start timestamp(3),
    `open` decimal(18, 8), high decimal(18, 8), low decimal(18, 8), `close` decimal(18, 8),
    volume decimal(38, 8), quote_volume decimal(38, 16), trade_count bigint,
    taker_buy_volume decimal(38, 8), taker_buy_quote_volume decimal(38, 16),
    primary key (exchange, symbol, window_start) not enforced
) with (
    'connector' = 'jdbc', 'url' = '$url', 'username' = '$user', 'password' = '$password',
    'table-name' = 'trades_1min_agg', 'sink.buffer-flush.max-rows' = '5000'
);

insert into bars
select
    exchange, symbol, cast(window_start as timestamp(3)),
    first_value(price), max(price), min(price), last_value(price),
    sum(quantity), sum(price * quantity), count(*),
    sum(case when taker_side = 'buy' then quantity else 0 end),
    sum(case when taker_side = 'buy' then price * quantity else 0 end)
from table(tumble(table raw_trades, descriptor(traded_at), interval '1' minute))
group by exchange, symbol, window_start, window_end;
