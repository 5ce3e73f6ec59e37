-- the counts of SymbolAudit
select
    count(*) filter (where completeness = 'proven') as proven,
    count(*) filter (where completeness = 'attested') as attested,
    count(*) filter (where completeness = 'empty') as empty,
    count(*) filter (where completeness = 'unproven') as unproven,
    count(*) filter (where verdict = 'equal') as equal,
    count(*) filter (where verdict = 'different') as different,
    count(*) filter (where verdict = 'no candle') as without_candle
from audited_minutes(%(exchange)s, %(symbol)s, %(start)s, %(end)s)
