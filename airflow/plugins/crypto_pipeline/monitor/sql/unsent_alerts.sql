select alert_id, what, about, detail, opened_at, last_seen_at, closed_at, mails_sent, unsent
from alerts
where unsent is not null
order by what, opened_at, about
