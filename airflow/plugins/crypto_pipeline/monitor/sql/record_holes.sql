-- Holes older than the grace, by the trade times of their neighbours, that the ledger does not know become rows of it.
-- What the history DAG is fetching is its own.
with missing as (
    select
        exchange,
        symbol,
        wanted * int8multirange(int8range(null, upper(seen))) - seen - ids_in_ledger(exchange, symbol)
        - coalesce((
            select range_agg(ordered.ids) from history_days as ordered
            where ordered.exchange = coverage.exchange and ordered.symbol = coverage.symbol
                and ordered.state in ('planned', 'filling') and ordered.ids is not null
                and ordered.changed_at > %(now)s - interval '6 hours'
        ), '{}') as ids
    from coverage
    where seen <> '{}'
),
holes as (
    select *
    from (
        select exchange, symbol, hole, row_number() over (partition by exchange, symbol order by hole) as place
        from missing, unnest(ids) as hole
    ) as numbered
    where place <= %(at_most)s
),
dated as (
    select
        holes.*,
        coalesce(before.window_start, after.window_start) as window_from,
        coalesce(after.window_start, before.window_start) + interval '1 minute' as window_to
    from holes
    left join lateral (
        select window_start from trades_1min_agg as bar
        where bar.exchange = holes.exchange and bar.symbol = holes.symbol and bar.first_trade_id < lower(hole)
        order by window_start desc limit 1
    ) as before on true
    left join lateral (
        select window_start from trades_1min_agg as bar
        where bar.exchange = holes.exchange and bar.symbol = holes.symbol and bar.last_trade_id >= upper(hole)
            and bar.window_start >= coalesce(before.window_start, '-infinity')
        order by window_start limit 1
    ) as after on true
)
insert into gaps (exchange, symbol, kind, ids, window_from, window_to, detected_at, changed_at)
select exchange, symbol, 'hole', hole, window_from, window_to, %(now)s, %(now)s
from dated
where window_to <= %(now)s - make_interval(secs => %(grace_s)s)
order by window_from, exchange, symbol, hole
returning gap_id
