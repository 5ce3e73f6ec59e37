-- The ids of a gap that are missing still, as ranges.
select lower(part) as first_id, upper(part) - 1 as last_id
from gaps
left join coverage using (exchange, symbol)
cross join unnest(int8multirange(ids) - coalesce(seen, '{}')) as part
where gap_id = %(gap_id)s
order by 1
