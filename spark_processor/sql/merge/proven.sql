select coalesce(sum(mark_proven(exchange, symbol, seen)), 0)
from (
    select exchange, symbol, range_agg(seen) as seen from stage where kind = 'ids' group by exchange, symbol
) added
