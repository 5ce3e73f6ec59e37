-- what the next mail of the audit has to tell: what stands first
select exchange, symbol, window_start, field, bar_value, candle_value, state, detail, changed_at
from bar_differences
where mailed_at is null
order by state <> 'stands', exchange, symbol, window_start, field
