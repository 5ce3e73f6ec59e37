-- When a minute is proven. Let p be the last id of the bar before (the nearest earlier minute with a trade) and n the
-- first id of the bar after. The minute is proven when one single range of `seen` holds every id from the lowest of
-- (p, its first) to the highest of (n, its last): then no id between is missing, so no trade of the minute is. Where
-- no later trade has come yet, confirmed_through stands for n. The first bar of a symbol has no p and stays unproven.
-- This rests on trade times not falling as ids grow.

create or replace function lock_bars() returns void
language sql
as $$
    select pg_advisory_xact_lock(4711)
$$;
comment on function lock_bars() is
    'Waits until this transaction alone may change bars and coverage; it ends with the transaction';

create or replace function mark_proven(_exchange text, _symbol text, _added int8multirange default '{(,)}')
returns bigint
language plpgsql
as $$
declare
    _marked bigint;
    _from timestamptz;
    _to timestamptz;
begin
    with covered as (
        select seen, confirmed_through, upper(seen) - 1 as top
        from coverage
        where exchange = _exchange and symbol = _symbol
    ),
    -- Only a range that the new ids are part of can have proven something. Materialized: it must be computed once,
    -- and not for each bar.
    grown as materialized (
        select ids from covered, unnest(seen) as ids where ids && _added
    ),
    candidates as materialized (
        select bar.window_start, bar.first_trade_id, bar.last_trade_id, ids
        from grown
        join trades_1min_agg as bar
            on bar.exchange = _exchange and bar.symbol = _symbol and bar.proven_at is null
            and bar.first_trade_id >= lower(ids) and bar.first_trade_id < upper(ids)
    ),
    neighbours as (
        select
            candidate.window_start,
            candidate.ids,
            least(before.last_trade_id, candidate.first_trade_id) as lowest,
            case
                when after.first_trade_id is not null
                    then greatest(after.first_trade_id, candidate.last_trade_id)
                when candidate.window_start + interval '1 minute' <= covered.confirmed_through
                    then greatest(covered.top, candidate.last_trade_id)
            end as highest
        from candidates as candidate
        cross join covered
        cross join lateral (
            select last_trade_id from trades_1min_agg
            where exchange = _exchange and symbol = _symbol and window_start < candidate.window_start
            order by window_start desc limit 1
        ) as before
        left join lateral (
            select first_trade_id from trades_1min_agg
            where exchange = _exchange and symbol = _symbol and window_start > candidate.window_start
            order by window_start limit 1
        ) as after on true
    ),
    marked as (
        update trades_1min_agg as bar
        set proven_at = clock_timestamp()
        from neighbours
        where bar.exchange = _exchange and bar.symbol = _symbol and bar.window_start = neighbours.window_start
            and neighbours.highest is not null
            and neighbours.ids @> int8range(neighbours.lowest, neighbours.highest, '[]')
        returning bar.window_start
    )
    select count(*), min(window_start), max(window_start) into _marked, _from, _to from marked;

    if _marked > 0 then
        perform pg_notify('bars_1min', json_build_object(
            'exchange', _exchange, 'symbol', _symbol, 'from', _from, 'to', _to, 'bars', _marked
        )::text);
    end if;
    return _marked;
end
$$;
comment on function mark_proven(text, text, int8multirange) is
    'Marks the bars that these ids could have proven, and tells listeners of bars_1min; returns how many. Under lock_bars()';

create or replace function confirm(_exchange text, _symbol text, _newest bigint, _at timestamptz)
returns boolean
language plpgsql
security definer set search_path = public, pg_temp
as $$
begin
    perform lock_bars();
    update coverage
    set confirmed_through = greatest(confirmed_through, _at)
    where exchange = _exchange and symbol = _symbol and upper(seen) - 1 = _newest;
    if not found then
        return false;
    end if;
    perform mark_proven(_exchange, _symbol, int8multirange(int8range(_newest, _newest, '[]')));
    return true;
end
$$;
comment on function confirm(text, text, bigint, timestamptz) is
    'At this time the newest id of the exchange was this one. If it is our newest too, minutes before it need no later trade to be proven. Returns whether it is';
