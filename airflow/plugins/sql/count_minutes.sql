-- in the order of SymbolAudit
select
    count(*) filter (where completeness = 'proven'),
    count(*) filter (where completeness = 'attested'),
    count(*) filter (where completeness = 'empty'),
    count(*) filter (where completeness = 'unproven'),
    count(*) filter (where verdict = 'equal'),
    count(*) filter (where verdict = 'different'),
    count(*) filter (where verdict = 'no candle')
from audited_minutes(%(exchange)s, %(symbol)s, %(start)s, %(end)s)
