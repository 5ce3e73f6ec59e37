-- which of these ids are not seen
select lower(ids), upper(ids) - 1
from unnest(
    %(ids)s::int8multirange
    - coalesce((select seen from coverage where exchange = %(exchange)s and symbol = %(symbol)s), '{}')
) as ids
order by 1
