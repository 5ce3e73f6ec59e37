-- What was ordered of the past by hand, and what became of it.

create table if not exists history_days (
    exchange text,
    symbol text,
    day date,
    what text check (what in ('trades', 'candles')),
    window_from timestamptz not null,
    window_to timestamptz not null,
    ids int8range,
    way text not null check (way in ('rest', 'bulk file')),
    calls int not null,
    weight int not null,
    state text not null default 'planned' check (state in ('planned', 'filling', 'done', 'failed')),
    rows_written bigint not null default 0,
    detail text,
    planned_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    primary key (exchange, symbol, day, what)
);
comment on table history_days is 'Days of the past that were ordered from the history DAG, with the newest plan of each and what became of it';
comment on column history_days.exchange is 'The market: binance, kucoin';
comment on column history_days.symbol is 'Base and quote, as BTC-USDT';
comment on column history_days.day is 'The day, in UTC';
comment on column history_days.what is 'trades: through the topic into bars; candles: into candles_1min';
comment on column history_days.window_from is 'From when of that day';
comment on column history_days.window_to is 'Until when of that day';
comment on column history_days.ids is 'The trade ids of that time, with the one before and the one after, which prove its first and last bar; null for candles';
comment on column history_days.way is 'rest, or the bulk file of the exchange; what a file lacks comes over REST';
comment on column history_days.calls is 'REST calls planned';
comment on column history_days.weight is 'REST weight planned';
comment on column history_days.state is 'planned, filling, done or failed (see detail)';
comment on column history_days.rows_written is 'Trades published, or candles stored, in the newest run';
comment on column history_days.detail is 'Why it failed, or what is worth knowing';
comment on column history_days.planned_at is 'When it was last planned';
comment on column history_days.changed_at is 'When its state last changed';
