-- Ids above our newest that the exchange already had become a row of the ledger, as far as it does not know them.
insert into gaps (exchange, symbol, kind, ids, window_from, window_to, detected_at, changed_at)
select
    %(exchange)s, %(symbol)s, 'stale tail', tail,
    least(
        coalesce(date_trunc('minute', newest_bar.window_start, 'UTC'), date_trunc('minute', %(asked_at)s, 'UTC')),
        date_trunc('minute', %(asked_at)s, 'UTC')
    ),
    date_trunc('minute', %(asked_at)s, 'UTC') + interval '1 minute',
    %(now)s, %(now)s
from unnest(
    int8multirange(int8range(%(top)s + 1, %(newest)s, '[]'))
    - (select seen from coverage where exchange = %(exchange)s and symbol = %(symbol)s)
    - ids_in_ledger(%(exchange)s, %(symbol)s)
) as tail
left join lateral (
    select max(window_start) as window_start from trades_1min_agg
    where exchange = %(exchange)s and symbol = %(symbol)s
) as newest_bar on true
returning gap_id
