-- issued anew, and mailed again, only where it says something else than before
with minutes as (
    select * from audited_minutes(%(exchange)s, %(symbol)s, %(start)s, %(end)s)
),
-- a symbol that began on this day is judged from its first bar on
started as (
    select greatest(%(start)s, min(window_start)) as at
    from trades_1min_agg
    where exchange = %(exchange)s and symbol = %(symbol)s
),
touched as (
    select
        minute.*,
        exists (
            select from gaps
            where gaps.exchange = %(exchange)s and gaps.symbol = %(symbol)s and gaps.state = 'verified'
                and gaps.window_from <= minute.window_start and gaps.window_to > minute.window_start
        ) or exists (
            select from bar_differences as known
            where known.exchange = %(exchange)s and known.symbol = %(symbol)s
                and known.window_start = minute.window_start and known.rebuilds > 0
        ) as repaired,
        exists (
            select from gaps
            where gaps.exchange = %(exchange)s and gaps.symbol = %(symbol)s and gaps.state = 'unfillable'
                and gaps.window_from <= minute.window_start and gaps.window_to > minute.window_start
        ) as unfillable
    from minutes as minute
    join started on minute.window_start >= started.at
)
insert into certificates as known (
    exchange, symbol, day, covers_from, covers_until, minutes_proven, minutes_attested, minutes_empty,
    minutes_unproven, minutes_repaired, minutes_unfillable, minutes_equal, minutes_different,
    minutes_without_candle
)
select
    %(exchange)s,
    %(symbol)s,
    %(day)s,
    min(window_start),
    max(window_start) + interval '1 minute',
    count(*) filter (where completeness = 'proven'),
    count(*) filter (where completeness = 'attested'),
    count(*) filter (where completeness = 'empty'),
    count(*) filter (where completeness = 'unproven'),
    count(*) filter (where repaired and completeness <> 'unproven'),
    count(*) filter (where unfillable),
    count(*) filter (where verdict = 'equal'),
    count(*) filter (where verdict = 'different'),
    count(*) filter (where verdict = 'no candle')
from touched
having count(*) > 0
on conflict (exchange, symbol, day) do update set
    covers_from = excluded.covers_from,
    covers_until = excluded.covers_until,
    minutes_proven = excluded.minutes_proven,
    minutes_attested = excluded.minutes_attested,
    minutes_empty = excluded.minutes_empty,
    minutes_unproven = excluded.minutes_unproven,
    minutes_repaired = excluded.minutes_repaired,
    minutes_unfillable = excluded.minutes_unfillable,
    minutes_equal = excluded.minutes_equal,
    minutes_different = excluded.minutes_different,
    minutes_without_candle = excluded.minutes_without_candle,
    issued_at = clock_timestamp(),
    mailed_at = null
where
    -- a part of the day does not replace the whole of it
    (excluded.covers_from <= known.covers_from and excluded.covers_until >= known.covers_until)
    and (
        known.covers_from, known.covers_until, known.minutes_proven, known.minutes_attested, known.minutes_empty,
        known.minutes_unproven, known.minutes_repaired, known.minutes_unfillable, known.minutes_equal,
        known.minutes_different, known.minutes_without_candle
    ) is distinct from (
        excluded.covers_from, excluded.covers_until, excluded.minutes_proven, excluded.minutes_attested,
        excluded.minutes_empty, excluded.minutes_unproven, excluded.minutes_repaired, excluded.minutes_unfillable,
        excluded.minutes_equal, excluded.minutes_different, excluded.minutes_without_candle
    )
