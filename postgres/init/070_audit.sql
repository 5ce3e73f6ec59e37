-- The second judge of the bars: the exchange's own candles, minute by minute and field by field.

create table if not exists bar_differences (
    exchange text,
    symbol text,
    window_start timestamptz,
    field text check (field in (
        'open', 'high', 'low', 'close', 'volume', 'quote_volume', 'trade_count', 'taker_buy_volume',
        'taker_buy_quote_volume'
    )),
    bar_value numeric,
    candle_value numeric,
    state text not null default 'found' check (state in ('found', 'rebuilding', 'settled', 'stands')),
    rebuilds int not null default 0,
    detail text,
    found_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    mailed_at timestamptz,
    primary key (exchange, symbol, window_start, field)
);
create index if not exists bar_differences_untold on bar_differences (changed_at) where mailed_at is null;
comment on table bar_differences is 'Where a proven or attested bar and the candle of the exchange differ, a row a field; written by the audit';
comment on column bar_differences.exchange is 'The market: binance, kucoin';
comment on column bar_differences.symbol is 'Base and quote, as BTC-USDT';
comment on column bar_differences.window_start is 'When the minute opens';
comment on column bar_differences.field is 'The column of trades_1min_agg and candles_1min that differs';
comment on column bar_differences.bar_value is 'Our value when they last differed; 0 where the minute is proven to have no trade';
comment on column bar_differences.candle_value is 'The value of the exchange when they last differed';
comment on column bar_differences.state is 'found; rebuilding: the trades of the bar are fetched again; settled: equal by now; stands: it differs, and nothing more is tried (see detail)';
comment on column bar_differences.rebuilds is 'How often the bar was rebuilt for it';
comment on column bar_differences.detail is 'What became of it, in words';
comment on column bar_differences.found_at is 'When the audit first saw it';
comment on column bar_differences.changed_at is 'When its state last changed';
comment on column bar_differences.mailed_at is 'When a mail told of this state; null: not yet';

create table if not exists certificates (
    exchange text,
    symbol text,
    day date,
    covers_from timestamptz not null,
    covers_until timestamptz not null,
    minutes_proven int not null,
    minutes_attested int not null,
    minutes_empty int not null,
    minutes_unproven int not null,
    minutes_repaired int not null,
    minutes_unfillable int not null,
    minutes_equal int not null,
    minutes_different int not null,
    minutes_without_candle int not null,
    issued_at timestamptz not null default clock_timestamp(),
    mailed_at timestamptz,
    primary key (exchange, symbol, day)
);
comment on table certificates is 'What is known of a UTC day of a symbol; issued by the audit, anew when it audits the day again';
comment on column certificates.exchange is 'The market: binance, kucoin';
comment on column certificates.symbol is 'Base and quote, as BTC-USDT';
comment on column certificates.day is 'The day, in UTC';
comment on column certificates.covers_from is 'The first minute that was looked at: the start of the day, unless the symbol began later or less was asked for';
comment on column certificates.covers_until is 'The end of the last minute that was looked at: the end of the day, unless less was asked for';
comment on column certificates.minutes_proven is 'Minutes whose bar is proven by trade ids';
comment on column certificates.minutes_attested is 'Minutes whose bar is attested by the connection (exchanges without consecutive ids)';
comment on column certificates.minutes_empty is 'Minutes known to have no trade';
comment on column certificates.minutes_unproven is 'All other minutes; with the three before, all that were looked at';
comment on column certificates.minutes_repaired is 'Minutes that a closed gap or a rebuild touched';
comment on column certificates.minutes_unfillable is 'Minutes that a gap touches which was given up';
comment on column certificates.minutes_equal is 'Proven, attested and empty minutes that are what the exchange says in every field';
comment on column certificates.minutes_different is 'Those that are not: see bar_differences';
comment on column certificates.minutes_without_candle is 'Those of which the exchange itself has no candle';
comment on column certificates.issued_at is 'When it was issued or last changed';
comment on column certificates.mailed_at is 'When this state of it was mailed; null: not yet';

create or replace function audited_minutes(_exchange text, _symbol text, _from timestamptz, _to timestamptz)
returns table (window_start timestamptz, completeness text, verdict text)
language sql stable
as $$
    with kind as (
        select coalesce((select consecutive_ids from exchanges where exchange = _exchange), true) as consecutive
    ),
    minutes as (
        select minute
        from generate_series(
            date_trunc('minute', _from, 'UTC'), _to - interval '1 microsecond', interval '1 minute'
        ) as minute
    ),
    known as (
        select
            minutes.minute,
            case
                when bar.window_start is null then case when coalesce(empty.proven, false) then 'empty' else 'unproven' end
                when bar.proven_at is null then 'unproven'
                when kind.consecutive then 'proven'
                else 'attested'
            end as completeness,
            kind.consecutive,
            bar,
            candle
        from minutes
        cross join kind
        left join trades_1min_agg as bar
            on bar.exchange = _exchange and bar.symbol = _symbol and bar.window_start = minutes.minute
        left join candles_1min as candle
            on candle.exchange = _exchange and candle.symbol = _symbol and candle.window_start = minutes.minute
        -- without a bar: do the ids around the minute leave room for a trade?
        left join lateral (
            select case
                when after.first_trade_id is not null
                    then seen @> int8range(
                        least(before.last_trade_id, after.first_trade_id),
                        greatest(before.last_trade_id, after.first_trade_id), '[]'
                    )
                when minutes.minute + interval '1 minute' <= confirmed_through
                    then seen @> int8range(before.last_trade_id, upper(seen) - 1, '[]')
            end as proven
            from coverage
            cross join lateral (
                select last_trade_id from trades_1min_agg as earlier
                where earlier.exchange = _exchange and earlier.symbol = _symbol
                    and earlier.window_start < minutes.minute
                order by earlier.window_start desc limit 1
            ) as before
            left join lateral (
                select first_trade_id from trades_1min_agg as later
                where later.exchange = _exchange and later.symbol = _symbol
                    and later.window_start > minutes.minute
                order by later.window_start limit 1
            ) as after on true
            where coverage.exchange = _exchange and coverage.symbol = _symbol
        ) as empty on bar.window_start is null
    )
    select
        minute,
        completeness,
        case
            when completeness = 'unproven' then null
            -- of a minute without trades not every exchange makes a candle
            when (candle).window_start is null
                then case when completeness = 'empty' and not consecutive then 'equal' else 'no candle' end
            when completeness = 'empty' then case
                when (candle).volume = 0 and coalesce((candle).trade_count, 0) = 0 then 'equal' else 'different'
            end
            -- it may have been asked for when the minute was still open
            when (candle).fetched_at < (bar).proven_at then null
            when ((bar).open, (bar).high, (bar).low, (bar).close, (bar).volume, (bar).quote_volume)
                = ((candle).open, (candle).high, (candle).low, (candle).close, (candle).volume, (candle).quote_volume)
                and coalesce((candle).trade_count, (bar).trade_count) = (bar).trade_count
                and coalesce((candle).taker_buy_volume, (bar).taker_buy_volume) = (bar).taker_buy_volume
                and coalesce((candle).taker_buy_quote_volume, (bar).taker_buy_quote_volume)
                    = (bar).taker_buy_quote_volume
                then 'equal'
            else 'different'
        end
    from known
    order by minute
$$;
comment on function audited_minutes(text, text, timestamptz, timestamptz) is
    'Every minute of [from, to): proven, attested, empty (known to have no trade) or unproven; and what its candle in candles_1min says to that: equal, different, no candle, or null where there is nothing to compare yet';

create or replace function differing_fields(_exchange text, _symbol text, _from timestamptz, _to timestamptz)
returns table (window_start timestamptz, field text, bar_value numeric, candle_value numeric)
language sql stable
as $$
    select minute.window_start, pair.field, pair.bar_value, pair.candle_value
    from audited_minutes(_exchange, _symbol, _from, _to) as minute
    join candles_1min as candle
        on candle.exchange = _exchange and candle.symbol = _symbol and candle.window_start = minute.window_start
    left join trades_1min_agg as bar
        on bar.exchange = _exchange and bar.symbol = _symbol and bar.window_start = minute.window_start
    cross join lateral (
        values
            ('open', bar.open, candle.open),
            ('high', bar.high, candle.high),
            ('low', bar.low, candle.low),
            ('close', bar.close, candle.close),
            ('volume', coalesce(bar.volume, 0), candle.volume),
            ('quote_volume', coalesce(bar.quote_volume, 0), candle.quote_volume),
            ('trade_count', coalesce(bar.trade_count, 0), candle.trade_count),
            ('taker_buy_volume', coalesce(bar.taker_buy_volume, 0), candle.taker_buy_volume),
            ('taker_buy_quote_volume', coalesce(bar.taker_buy_quote_volume, 0), candle.taker_buy_quote_volume)
    ) as pair (field, bar_value, candle_value)
    where minute.verdict = 'different' and pair.bar_value <> pair.candle_value
    order by minute.window_start, pair.field
$$;
comment on function differing_fields(text, text, timestamptz, timestamptz) is
    'Where audited_minutes() says different: the fields, with both values';
