-- They hold no longer. A mail tells it, unless none was ever due.
update alerts
set closed_at = clock_timestamp(), unsent = case when unsent is not null or mails_sent > 0 then 'closed' end
where alert_id = any(%(alert_ids)s) and closed_at is null
