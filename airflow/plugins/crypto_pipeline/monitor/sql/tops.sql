-- The highest id seen of each symbol of an exchange, and when its newest trade was.
select symbol, upper(seen) - 1 as top, traded_at
from coverage
left join latest_prices using (exchange, symbol)
where exchange = %(exchange)s and seen <> '{}'
