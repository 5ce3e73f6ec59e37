-- the ids that are missing now, as ranges
select lower(ids), upper(ids) - 1
from unnest(forget(%(exchange)s, %(symbol)s, %(start)s, %(end)s)) as ids
order by 1
