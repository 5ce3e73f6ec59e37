select greatest(extract(epoch from closed_until - clock_timestamp()), 0)
from rest_limits
where exchange = %(exchange)s and closed_until > clock_timestamp()
