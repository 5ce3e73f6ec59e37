-- Which ids are wanted is said by the messages (from the first live one upwards), by history (its ranges), and by
-- these two functions, whose word counts more.

create or replace function open_wanted(_exchange text, _symbol text, _from bigint, _until bigint default null)
returns int8multirange
language plpgsql
security definer set search_path = public, pg_temp
as $$
declare
    _opened int8multirange := int8multirange(int8range(_from, _until));
    _jumped int8multirange := '{}';
    _wanted int8multirange;
begin
    perform lock_bars();
    insert into coverage (exchange, symbol) values (_exchange, _symbol) on conflict do nothing;
    -- so far above all that was seen that the ids between would make an astronomical hole: they are not wanted
    select int8multirange(int8range(upper(seen), _from)) into _jumped
    from coverage
    where exchange = _exchange and symbol = _symbol and seen <> '{}' and _from - upper(seen) >= 1000000000;
    _jumped := coalesce(_jumped, '{}');
    update coverage
    set unwanted = unwanted - _opened + _jumped,
        wanted = wanted + _opened - _jumped,
        updated_at = clock_timestamp()
    where exchange = _exchange and symbol = _symbol
    returning wanted into _wanted;
    return _wanted;
end
$$;
comment on function open_wanted(text, text, bigint, bigint) is
    'Makes the ids [from, until) wanted, without until all from there on: for history, for a symbol enabled again, and for ids that really jumped by more than 10^9, whose messages are rejected until then. Returns what is wanted now';

create or replace function close_wanted(_exchange text, _symbol text)
returns int8multirange
language plpgsql
security definer set search_path = public, pg_temp
as $$
declare
    _wanted int8multirange;
begin
    perform lock_bars();
    update coverage
    set wanted = wanted - int8multirange(int8range(coalesce(upper(seen), 0), null)),
        unwanted = unwanted + int8multirange(int8range(coalesce(upper(seen), 0), null)),
        updated_at = clock_timestamp()
    where exchange = _exchange and symbol = _symbol
    returning wanted into _wanted;
    return _wanted;
end
$$;
comment on function close_wanted(text, text) is
    'Wants no id above our newest from now on: for a symbol that was disabled. Returns what is wanted still; null without such a symbol';
