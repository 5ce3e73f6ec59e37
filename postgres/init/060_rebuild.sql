-- Rebuilding is forgetting: what is no longer seen is a hole, and holes are filled.

create or replace function forget(_exchange text, _symbol text, _from timestamptz, _to timestamptz)
returns int8multirange
language plpgsql
security definer set search_path = public, pg_temp
as $$
declare
    _before record;
    _after record;
    _first bigint;
    _last bigint;
    _gone int8multirange;
begin
    perform lock_bars();
    -- Where trade times fell as ids grew, neighbouring bars overlap in ids. They go along, or a trade of theirs would
    -- be counted twice or never.
    loop
        select min(first_trade_id), max(last_trade_id) into _first, _last
        from trades_1min_agg
        where exchange = _exchange and symbol = _symbol and window_start >= _from and window_start < _to;

        select window_start, last_trade_id as id into _before
        from trades_1min_agg
        where exchange = _exchange and symbol = _symbol and window_start < _from
        order by window_start desc limit 1;

        select window_start, first_trade_id as id into _after
        from trades_1min_agg
        where exchange = _exchange and symbol = _symbol and window_start >= _to
        order by window_start limit 1;

        if _before.id >= least(_first, _after.id) then
            _from := _before.window_start;
        elsif _after.id <= _last then
            _to := _after.window_start + interval '1 minute';
        else
            exit;
        end if;
    end loop;

    delete from trades_1min_agg
    where exchange = _exchange and symbol = _symbol and window_start >= _from and window_start < _to;

    select seen * int8multirange(int8range(_before.id + 1, _after.id)) into _gone
    from coverage
    where exchange = _exchange and symbol = _symbol;

    update coverage
    set seen = seen - _gone,
        wanted = wanted + _gone,
        -- without a later bar the confirmation would prove a bar that is only partly refilled
        confirmed_through = case
            when _after.id is null and confirmed_through > _from then _from else confirmed_through
        end,
        updated_at = clock_timestamp()
    where exchange = _exchange and symbol = _symbol;
    return _gone;
end
$$;
comment on function forget(text, text, timestamptz, timestamptz) is
    'Deletes the bars of the minutes in [from, to) and makes their ids missing, so that they are fetched again; returns the ids';
