select what, about, detail, opened_at
from alerts
where what = any(%(notes)s) and closed_at is null
order by what, about
