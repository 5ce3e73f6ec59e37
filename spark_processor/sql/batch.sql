-- What was read, what of it was no trade, and how much there was of everything.
select 'offsets' as kind, "partition", min("offset") as offset_from, max("offset") + 1 as offset_until
from places group by "partition"
union all by name
select 'rejected' as kind, "partition", offset_from, '\x' || lower(hex(key)) as key, '\x' || lower(hex(value)) as value,
       reason
from rejected
union all by name
select 'counts' as kind, (select count(*) from input) as messages, (select count(*) from rejected) + getvariable('not_kept') as rejected,
       (select count(*) from repeats) as duplicates, getvariable('contradictions') as contradictions,
       max(received_at_us) filter (ws) as newest_received_at_us
from parsed
