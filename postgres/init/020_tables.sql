-- What the pipeline stores. Times are UTC; prices are in the quote currency, volumes in the base currency; numeric
-- without bounds, since bars are exact.

create table if not exists exchanges (
    exchange text primary key,
    consecutive_ids boolean not null
);
comment on table exchanges is 'What the job knows of each exchange; written by the job when it starts';
comment on column exchanges.exchange is 'The market: binance, kucoin';
comment on column exchanges.consecutive_ids is
    'Whether trade ids grow by one, so that ids prove completeness; otherwise the connection attests it';

create table if not exists trades_1min_agg (
    exchange text,
    symbol text,
    window_start timestamptz,
    open numeric not null,
    high numeric not null,
    low numeric not null,
    close numeric not null,
    volume numeric not null,
    quote_volume numeric not null,
    trade_count bigint not null,
    taker_buy_volume numeric not null,
    taker_buy_quote_volume numeric not null,
    first_trade_id bigint not null,
    last_trade_id bigint not null,
    updated_at timestamptz not null default clock_timestamp(),
    proven_at timestamptz,
    primary key (exchange, symbol, window_start)
);
-- what marking looks at: only bars that are not proven stand in it, so its cost does not grow with the table
create index if not exists trades_1min_agg_unproven
    on trades_1min_agg (exchange, symbol, first_trade_id) where proven_at is null;

comment on table trades_1min_agg is 'Bars: one minute of a symbol, built from trades only, exact to the digit';
comment on column trades_1min_agg.exchange is 'The market: binance, kucoin';
comment on column trades_1min_agg.symbol is 'Base and quote, as BTC-USDT';
comment on column trades_1min_agg.window_start is 'The minute holds trades with window_start <= time < window_start + 1 minute';
comment on column trades_1min_agg.open is 'Price of the trade with the lowest id';
comment on column trades_1min_agg.high is 'Highest price';
comment on column trades_1min_agg.low is 'Lowest price';
comment on column trades_1min_agg.close is 'Price of the trade with the highest id';
comment on column trades_1min_agg.volume is 'Sum of quantities, in the base currency';
comment on column trades_1min_agg.quote_volume is 'Sum of price times quantity, in the quote currency';
comment on column trades_1min_agg.trade_count is 'Trades counted; voided ones (price or quantity 0) are not';
comment on column trades_1min_agg.taker_buy_volume is 'The part of volume in which the taker bought';
comment on column trades_1min_agg.taker_buy_quote_volume is 'The part of quote_volume in which the taker bought';
comment on column trades_1min_agg.first_trade_id is 'Lowest id of the trades counted';
comment on column trades_1min_agg.last_trade_id is 'Highest id of the trades counted';
comment on column trades_1min_agg.updated_at is 'When a trade last reached this bar';
comment on column trades_1min_agg.proven_at is
    'When it became proven that no trade of this minute is missing; null: not proven. Of kucoin the connection attests it';

create table if not exists candles_1min (
    exchange text,
    symbol text,
    window_start timestamptz,
    open numeric not null,
    high numeric not null,
    low numeric not null,
    close numeric not null,
    volume numeric not null,
    quote_volume numeric not null,
    trade_count bigint,
    taker_buy_volume numeric,
    taker_buy_quote_volume numeric,
    fetched_at timestamptz not null default clock_timestamp(),
    primary key (exchange, symbol, window_start)
);
comment on table candles_1min is 'Candles: one minute of a symbol as the exchange itself publishes it, fetched over REST; never mixed into the bars';
comment on column candles_1min.exchange is 'The market: binance, kucoin';
comment on column candles_1min.symbol is 'Base and quote, as BTC-USDT';
comment on column candles_1min.window_start is 'When the minute opens';
comment on column candles_1min.open is 'First price';
comment on column candles_1min.high is 'Highest price';
comment on column candles_1min.low is 'Lowest price';
comment on column candles_1min.close is 'Last price';
comment on column candles_1min.volume is 'In the base currency';
comment on column candles_1min.quote_volume is 'In the quote currency';
comment on column candles_1min.trade_count is 'Number of trades; null where the exchange does not give it';
comment on column candles_1min.taker_buy_volume is 'The part of volume in which the taker bought; null where not given';
comment on column candles_1min.taker_buy_quote_volume is 'The same in the quote currency; null where not given';
comment on column candles_1min.fetched_at is 'When the exchange last gave it';

create table if not exists coverage (
    exchange text,
    symbol text,
    seen int8multirange not null default '{}',
    wanted int8multirange not null default '{}',
    unwanted int8multirange not null default '{}',
    confirmed_through timestamptz,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (exchange, symbol)
);
comment on table coverage is 'Which trade ids of a symbol are accounted for, and which we mean to have';
comment on column coverage.exchange is 'The market: binance, kucoin';
comment on column coverage.symbol is 'Base and quote, as BTC-USDT';
comment on column coverage.seen is 'Trade ids accounted for: by a trade, or attested to have none';
comment on column coverage.wanted is 'Trade ids we mean to have: from the first live one upwards, and what history added. wanted - seen, below the top of seen, is missing';
comment on column coverage.unwanted is
    'Trade ids that messages cannot make wanted: what close_wanted() closed, and what open_wanted() jumped over';
comment on column coverage.confirmed_through is 'Until then the newest id of the exchange was our newest';
comment on column coverage.updated_at is 'When seen or wanted last changed';

create table if not exists latest_prices (
    exchange text,
    symbol text,
    price numeric not null,
    trade_id bigint not null,
    traded_at timestamptz not null,
    primary key (exchange, symbol)
);
comment on table latest_prices is 'The newest trade of each symbol, by id';
comment on column latest_prices.exchange is 'The market: binance, kucoin';
comment on column latest_prices.symbol is 'Base and quote, as BTC-USDT';
comment on column latest_prices.price is 'Its price, in the quote currency';
comment on column latest_prices.trade_id is 'Its id';
comment on column latest_prices.traded_at is 'Its time, by the clock of the exchange';

create table if not exists rejected_messages (
    topic text,
    "partition" int,
    "offset" bigint,
    key bytea,
    value bytea,
    reason text not null,
    rejected_at timestamptz not null default clock_timestamp(),
    primary key (topic, "partition", "offset")
);
create index if not exists rejected_messages_rejected_at on rejected_messages (rejected_at);
comment on table rejected_messages is 'Messages that are not a trade by the contract, once each; the oldest go when there are more than 100,000';
comment on column rejected_messages.topic is 'Where it stands in Kafka: topic';
comment on column rejected_messages."partition" is 'Where it stands in Kafka: partition';
comment on column rejected_messages."offset" is 'Where it stands in Kafka: offset';
comment on column rejected_messages.key is 'Its key, the first 16 kB';
comment on column rejected_messages.value is 'Its value, the first 16 kB';
comment on column rejected_messages.reason is 'What is wrong with it';
comment on column rejected_messages.rejected_at is 'When the job rejected it';

create table if not exists batches (
    batch_no bigint generated always as identity primary key,
    topic text not null,
    offsets jsonb not null,
    positions jsonb not null,
    messages bigint not null,
    trades bigint not null,
    voids bigint not null,
    duplicates bigint not null,
    rejected bigint not null,
    contradictions bigint not null,
    time_falls bigint not null,
    proven bigint not null,
    started_at timestamptz not null,
    committed_at timestamptz not null default clock_timestamp()
);
create index if not exists batches_committed_at on batches (committed_at);
comment on table batches is 'One row a committed micro-batch of the Spark job, kept 30 days';
comment on column batches.batch_no is 'Grows with each commit';
comment on column batches.topic is 'The Kafka topic';
comment on column batches.offsets is 'What was planned for the batch, and read as far as the broker still had it: {partition: [from, until)}';
comment on column batches.positions is 'Up to where each partition has been read, over all batches: {partition: next offset}';
comment on column batches.messages is 'Messages read; the sum of the next five';
comment on column batches.trades is 'Trades that entered a bar';
comment on column batches.voids is 'Trades that the exchange voided: their id counts, they enter no bar';
comment on column batches.duplicates is 'Messages whose trade was seen before';
comment on column batches.rejected is 'Messages that are no trade by the contract';
comment on column batches.contradictions is 'Messages that deny or differ from another of the same batch';
comment on column batches.time_falls is 'Bars touched whose ids overlap a neighbour: trade times fell as ids grew';
comment on column batches.proven is 'Bars that became proven';
comment on column batches.started_at is 'When its transaction began';
comment on column batches.committed_at is 'When its transaction was about to commit';

create table if not exists gaps (
    gap_id bigint generated always as identity primary key,
    exchange text not null,
    symbol text not null,
    kind text not null check (kind in ('hole', 'stale tail', 'candle difference')),
    ids int8range,
    window_from timestamptz not null,
    window_to timestamptz not null,
    state text not null default 'detected' check (state in ('detected', 'filling', 'verified', 'unfillable')),
    attempts int not null default 0,
    trades_recovered bigint not null default 0,
    detected_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    verified_at timestamptz,
    detail text,
    check ((ids is null) = (kind = 'candle difference')),
    check (not isempty(ids)),
    check (window_from < window_to)
);
create index if not exists gaps_open on gaps (exchange, symbol) where state in ('detected', 'filling');
create index if not exists gaps_symbol on gaps (exchange, symbol, window_from);
comment on table gaps is 'The ledger of what was missing, and what became of it';
comment on column gaps.gap_id is 'Names the gap';
comment on column gaps.exchange is 'The market: binance, kucoin';
comment on column gaps.symbol is 'Base and quote, as BTC-USDT';
comment on column gaps.kind is 'hole: ids below the top of seen; stale tail: ids above it that the exchange already has; candle difference: minutes in which bar and candle differ';
comment on column gaps.ids is 'The trade ids, as first found; never changed. Null for a candle difference';
comment on column gaps.window_from is 'The first minute that may be touched';
comment on column gaps.window_to is 'The end of the last minute that may be touched';
comment on column gaps.state is 'detected, filling, verified (nothing is missing any more) or unfillable (given up, see detail; a late arrival still turns it into verified)';
comment on column gaps.attempts is 'How often filling was tried';
comment on column gaps.trades_recovered is 'Trades published to fill it';
comment on column gaps.detected_at is 'When it was found';
comment on column gaps.changed_at is 'When its state last changed';
comment on column gaps.verified_at is 'When it was found whole';
comment on column gaps.detail is 'What the exchange answered, or why it was given up';

create table if not exists alerts (
    alert_id bigint generated always as identity primary key,
    what text not null,
    about text not null,
    detail text,
    opened_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz,
    mails_sent int not null default 0,
    last_mailed_at timestamptz,
    unsent text check (unsent in ('opened', 'changed', 'closed', 'reminder'))
);
-- at most one open alert a matter
create unique index if not exists alerts_open on alerts (what, about) where closed_at is null;
comment on table alerts is 'What people are told of: one row from when something opens until it is over';
comment on column alerts.alert_id is 'Names the alert';
comment on column alerts.what is 'The cause: late trade, gap, stalled feed, …';
comment on column alerts.about is 'Whom it concerns: a symbol, a minute, the stream';
comment on column alerts.detail is 'What is known of it, in words';
comment on column alerts.opened_at is 'When it began';
comment on column alerts.last_seen_at is 'When it was last found to hold';
comment on column alerts.closed_at is 'When it was over; null: it is not';
comment on column alerts.mails_sent is 'Mails that have told of it';
comment on column alerts.last_mailed_at is 'When the last of them was sent';
comment on column alerts.unsent is 'What the next mail has yet to tell; null: nothing';
