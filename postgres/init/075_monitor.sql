-- What the monitor keeps besides the ledger and the alerts themselves.

alter table gaps add column if not exists candles_fetched_at timestamptz;
comment on column gaps.candles_fetched_at is
    'When the exchange''s candles of all its minutes were kept, where trades cannot be had by id; a minute without one had no trade. Null: not done';

create or replace function ids_in_ledger(_exchange text, _symbol text) returns int8multirange
language sql stable
as $$
    select coalesce(range_agg(ids), '{}') from gaps
    where exchange = _exchange and symbol = _symbol and ids is not null and (
        state <> 'verified'
        or candles_fetched_at is not null and exists (
            select from exchanges where exchanges.exchange = _exchange and not consecutive_ids
        )
    )
$$;
comment on function ids_in_ledger(text, text) is
    'Missing ids that need no new gap: those of gaps that are not verified, and those that only candles could mend, which never come. A gap that was verified and is missing again is a new one';

alter table alerts add column if not exists gist text not null default '';
comment on column alerts.gist is
    'The part of what is known that does not change by itself: a mail tells of a change when this one changes';

create table if not exists candle_checks (
    exchange text,
    symbol text,
    compared_through timestamptz not null,
    primary key (exchange, symbol)
);
comment on table candle_checks is 'Up to where the bars of exchanges whose ids prove nothing were compared with candles';
comment on column candle_checks.exchange is 'The market: kucoin';
comment on column candle_checks.symbol is 'Base and quote, as BTC-USDT';
comment on column candle_checks.compared_through is 'All minutes before have been compared';

-- Unlogged: after a crash of the server the weight of the last minute is forgotten, which the exchange survives.
create unlogged table if not exists rest_calls (
    exchange text not null,
    part text not null,
    weight int not null,
    called_at timestamptz not null default clock_timestamp()
);
create index if not exists rest_calls_called_at on rest_calls (exchange, called_at);
comment on table rest_calls is 'REST calls of Airflow''s tasks in the current window of the exchange: processes that share a budget';
comment on column rest_calls.exchange is 'The market: binance, kucoin';
comment on column rest_calls.part is 'Whose share it is taken from: monitor, history';
comment on column rest_calls.weight is 'What the exchange counts for it';
comment on column rest_calls.called_at is 'When it was allowed to go out';

create table if not exists rest_limits (
    exchange text primary key,
    closed_until timestamptz not null default '-infinity',
    used int not null default 0,
    told_at timestamptz not null default '-infinity'
);
comment on table rest_limits is 'What each exchange said of its REST limits to one task, for all of them';
comment on column rest_limits.exchange is 'The market: binance, kucoin';
comment on column rest_limits.closed_until is 'Until then it wants no call of our address, after a 429 or 418';
comment on column rest_limits.used is 'The weight that our address had used in its window, as it said last';
comment on column rest_limits.told_at is 'When it said so';

create or replace function spend_weight(
    _exchange text, _part text, _weight int, _own numeric, _all numeric, _window_s numeric
) returns double precision
language plpgsql
as $$
declare
    _now timestamptz;
    _window interval := make_interval(secs => _window_s::double precision);
    _told rest_limits;
    _spent bigint;
    _oldest timestamptz;
begin
    perform pg_advisory_xact_lock(4714, hashtext(_exchange));
    _now := clock_timestamp();
    select * into _told from rest_limits where exchange = _exchange;
    if _told.closed_until > _now then
        return extract(epoch from _told.closed_until - _now);
    end if;

    delete from rest_calls where exchange = _exchange and called_at <= _now - _window;
    select coalesce(sum(weight), 0), min(called_at) into _spent, _oldest
    from rest_calls where exchange = _exchange and part = _part;
    -- a single call may weigh more than a small share: it goes out when nothing else did
    if _spent > 0 and _spent + _weight > _own then
        return greatest(extract(epoch from _oldest + _window - _now), 0.01);
    end if;
    if _told.told_at > _now - _window and _told.used + _weight > _all then
        return greatest(extract(epoch from _told.told_at + _window - _now), 0.01);
    end if;
    insert into rest_calls (exchange, part, weight, called_at) values (_exchange, _part, _weight, _now);
    return 0;
end
$$;
comment on function spend_weight(text, text, int, numeric, numeric, numeric) is
    'Grants a REST call of this weight: 0, or after how many seconds to ask again. _own: most that this part may spend in a window, _all: most of the whole address';
