-- what there is to audit
select exchange, symbol
from coverage
where exists (
    select from trades_1min_agg as bar
    where bar.exchange = coverage.exchange and bar.symbol = coverage.symbol
        and bar.window_start >= %(start)s and bar.window_start < %(end)s
)
order by exchange, symbol
