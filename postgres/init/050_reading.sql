-- What people read.

create or replace function missing_ids(_exchange text, _symbol text, _from timestamptz, _to timestamptz)
returns int8multirange
language sql stable
as $$
    select wanted * int8multirange(int8range(
        (
            select last_trade_id + 1 from trades_1min_agg
            where exchange = _exchange and symbol = _symbol and window_start < _from
            order by window_start desc limit 1
        ),
        coalesce(
            (
                select first_trade_id from trades_1min_agg
                where exchange = _exchange and symbol = _symbol and window_start >= _to
                order by window_start limit 1
            ),
            upper(seen)
        )
    )) - seen
    from coverage
    where exchange = _exchange and symbol = _symbol and seen <> '{}'
$$;
comment on function missing_ids(text, text, timestamptz, timestamptz) is
    'The trade ids that the minutes in [from, to) lack, as far as they are wanted and below our newest; {} if none';

create or replace view bars_1min as
select
    exchange,
    symbol,
    window_start,
    case when by_candle then candle.open else bar.open end as open,
    case when by_candle then candle.high else bar.high end as high,
    case when by_candle then candle.low else bar.low end as low,
    case when by_candle then candle.close else bar.close end as close,
    case when by_candle then candle.volume else bar.volume end as volume,
    case when by_candle then candle.quote_volume else bar.quote_volume end as quote_volume,
    case when by_candle then candle.trade_count else bar.trade_count end as trade_count,
    case when by_candle then candle.taker_buy_volume else bar.taker_buy_volume end as taker_buy_volume,
    case when by_candle then candle.taker_buy_quote_volume else bar.taker_buy_quote_volume end
        as taker_buy_quote_volume,
    bar.first_trade_id,
    bar.last_trade_id,
    case when by_candle then 'candle' else 'trades' end as source,
    case
        when by_candle then 'candle'
        when bar.proven_at is not null then case when consecutive then 'proven' else 'attested' end
        -- the newest bar, of which nothing is missing so far
        when not exists (
            select from trades_1min_agg as later
            where later.exchange = bar.exchange and later.symbol = bar.symbol
                and later.window_start > bar.window_start
        ) and exists (
            select from coverage as c
            where c.exchange = bar.exchange and c.symbol = bar.symbol
                and c.seen @> int8range(coalesce((
                    select last_trade_id from trades_1min_agg as earlier
                    where earlier.exchange = bar.exchange and earlier.symbol = bar.symbol
                        and earlier.window_start < bar.window_start
                    order by earlier.window_start desc limit 1
                ), bar.first_trade_id), bar.last_trade_id, '[]')
        ) then 'open'
        else 'incomplete'
    end as completeness,
    case when by_candle then null else bar.proven_at end as proven_at
from trades_1min_agg as bar
left join candles_1min as candle using (exchange, symbol, window_start)
left join lateral (
    select coalesce((select e.consecutive_ids from exchanges as e where e.exchange = bar.exchange), true)
        as consecutive
) as known on true
left join lateral (
    select candle.window_start is not null and (
        bar.proven_at is null
        or not consecutive and (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume)
            is distinct from
            (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.quote_volume)
    ) as by_candle
) as choice on true
union all
select
    exchange, symbol, window_start, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume,
    taker_buy_quote_volume, null, null, 'candle', 'candle', null
from candles_1min as candle
where not exists (
    select from trades_1min_agg as bar
    where bar.exchange = candle.exchange and bar.symbol = candle.symbol
        and bar.window_start = candle.window_start
);
comment on view bars_1min is
    'The best that is known of each minute: the proven bar; or the attested one that its candle does not contradict; else the candle; else the bar as far as it goes';
comment on column bars_1min.exchange is 'The market: binance, kucoin';
comment on column bars_1min.symbol is 'Base and quote, as BTC-USDT';
comment on column bars_1min.window_start is 'When the minute opens';
comment on column bars_1min.open is 'First price';
comment on column bars_1min.high is 'Highest price';
comment on column bars_1min.low is 'Lowest price';
comment on column bars_1min.close is 'Last price';
comment on column bars_1min.volume is 'In the base currency';
comment on column bars_1min.quote_volume is 'In the quote currency';
comment on column bars_1min.trade_count is 'Number of trades';
comment on column bars_1min.taker_buy_volume is 'The part of volume in which the taker bought';
comment on column bars_1min.taker_buy_quote_volume is 'The part of quote_volume in which the taker bought';
comment on column bars_1min.first_trade_id is 'Lowest trade id of our own bar';
comment on column bars_1min.last_trade_id is 'Highest trade id of our own bar';
comment on column bars_1min.source is 'trades: built by us; candle: published by the exchange';
comment on column bars_1min.completeness is
    'proven: by ids; attested: by the connection; candle: by the exchange; open: may still grow; incomplete: trades are missing, see missing_ids()';
comment on column bars_1min.proven_at is 'When it became proven or attested';

create or replace function bars_1min_grid(_exchange text, _symbol text, _from timestamptz, _to timestamptz)
returns setof bars_1min
language sql stable
as $$
    with minutes as (
        select window_start
        from generate_series(
            date_trunc('minute', _from, 'UTC'), _to - interval '1 microsecond', interval '1 minute'
        ) as window_start
    ),
    covered as (
        select seen, confirmed_through from coverage where exchange = _exchange and symbol = _symbol
    ),
    known as (
        select * from bars_1min
        where exchange = _exchange and symbol = _symbol and window_start >= date_trunc('minute', _from, 'UTC')
            and window_start < _to
    ),
    -- of a minute without a bar of ours: is it proven that it has no trade, or may one still come?
    empty as (
        select
            minutes.window_start,
            coalesce(
                case
                    when after.first_trade_id is not null
                        then seen @> int8range(least(before.last_trade_id, after.first_trade_id),
                            greatest(before.last_trade_id, after.first_trade_id), '[]')
                    when minutes.window_start + interval '1 minute' <= confirmed_through
                        then seen @> int8range(before.last_trade_id, upper(seen) - 1, '[]')
                end,
                false
            ) as proven,
            after.first_trade_id is null and seen @> int8range(before.last_trade_id, upper(seen) - 1, '[]')
                as still_open
        from minutes
        cross join covered
        cross join lateral (
            select last_trade_id from trades_1min_agg
            where exchange = _exchange and symbol = _symbol and window_start < minutes.window_start
            order by window_start desc limit 1
        ) as before
        left join lateral (
            select first_trade_id from trades_1min_agg
            where exchange = _exchange and symbol = _symbol and window_start > minutes.window_start
            order by window_start limit 1
        ) as after on true
        where not exists (
            select from known where known.window_start = minutes.window_start and known.source = 'trades'
        )
    )
    select
        _exchange,
        _symbol,
        minutes.window_start,
        coalesce(known.open, last_close.close),
        coalesce(known.high, last_close.close),
        coalesce(known.low, last_close.close),
        coalesce(known.close, last_close.close),
        coalesce(known.volume, case when empty.proven then 0 end),
        coalesce(known.quote_volume, case when empty.proven then 0 end),
        coalesce(known.trade_count, case when empty.proven then 0 end),
        coalesce(known.taker_buy_volume, case when empty.proven then 0 end),
        coalesce(known.taker_buy_quote_volume, case when empty.proven then 0 end),
        known.first_trade_id,
        known.last_trade_id,
        coalesce(known.source, case when empty.proven then 'trades' end),
        coalesce(
            known.completeness,
            case
                when empty.proven then case when ids.consecutive then 'proven' else 'attested' end
                when empty.still_open then 'open'
                else 'incomplete'
            end
        ),
        known.proven_at
    from minutes
    cross join (
        select coalesce((select consecutive_ids from exchanges where exchange = _exchange), true) as consecutive
    ) as ids
    left join empty using (window_start)
    -- a proof by ids says more than the exchange's candle of a minute without trades; a connection's word does not
    left join known on known.window_start = minutes.window_start
        and (empty.proven is not true or not ids.consecutive and known.volume > 0)
    left join lateral (
        select close from bars_1min
        where empty.proven and exchange = _exchange and symbol = _symbol
            and window_start < minutes.window_start
        order by window_start desc limit 1
    ) as last_close on true
    order by minutes.window_start
$$;
comment on function bars_1min_grid(text, text, timestamptz, timestamptz) is
    'Every minute of [from, to): bars_1min, and where it is proven that a minute had no trade, volume 0 at the last close. Prices are null where nothing is known';
