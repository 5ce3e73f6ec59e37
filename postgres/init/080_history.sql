-- What was fetched of the past by hand, and how much REST weight its workers, processes of their own, have spent.

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

-- Unlogged: after a crash of the server the weight of the last minute is forgotten, which the exchange survives.
create unlogged table if not exists rest_calls (
    call_id bigint generated always as identity primary key,
    exchange text not null,
    service text not null,
    weight int not null,
    called_at timestamptz not null default clock_timestamp()
);
create index if not exists rest_calls_recent on rest_calls (exchange, service, called_at);
comment on table rest_calls is 'REST calls of the last minute or so by services of several processes, which share a budget';
comment on column rest_calls.call_id is 'Names the call';
comment on column rest_calls.exchange is 'The market: binance, kucoin';
comment on column rest_calls.service is 'Whose budget it counts in: history, audit';
comment on column rest_calls.weight is 'What the exchange counts for it';
comment on column rest_calls.called_at is 'When it was granted';

create or replace function reserve_weight(
    _exchange text, _service text, _weight int, _most numeric, _window interval
)
returns double precision
language plpgsql
security definer set search_path = public, pg_temp
as $$
declare
    _used bigint;
    _oldest timestamptz;
begin
    perform pg_advisory_xact_lock(4714, hashtext(_exchange || ' ' || _service));
    delete from rest_calls
    where exchange = _exchange and service = _service and called_at <= clock_timestamp() - _window;
    select coalesce(sum(weight), 0), min(called_at) into _used, _oldest
    from rest_calls
    where exchange = _exchange and service = _service;
    -- a single call may weigh more than a small budget: it goes out when nothing else did
    if _used > 0 and _used + _weight > _most then
        return greatest(extract(epoch from _oldest + _window - clock_timestamp()), 0.01);
    end if;
    insert into rest_calls (exchange, service, weight) values (_exchange, _service, _weight);
    return 0;
end
$$;
comment on function reserve_weight(text, text, int, numeric, interval) is
    'Grants a REST call of this weight, so that the service spends at most so much in any window: 0, or after how many seconds to ask again';

revoke all on function reserve_weight(text, text, int, numeric, interval) from public;
grant execute on function reserve_weight(text, text, int, numeric, interval) to crypto_monitor;
grant select, insert, update on history_days to crypto_monitor;
