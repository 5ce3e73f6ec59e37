-- What was no trade, and how much there was of everything.
select 'rejected' as kind, "partition", "offset", '\x' || lower(hex(key)) as key, '\x' || lower(hex(value)) as value,
       reason
from rejected
union all by name
select 'counts' as kind, (select count(*) from input) as messages, (select count(*) from rejected) + getvariable('not_kept') as rejected,
       (select count(*) from repeats) as duplicates, getvariable('contradictions') as contradictions,
       max(received_at_us) filter (ws) as newest_received_at_us
from parsed
