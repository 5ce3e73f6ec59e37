update alerts
set closed_at = clock_timestamp(), unsent = case when unsent is not null or mails_sent > 0 then 'closed' end
where closed_at is null and what = any(%(events)s) and last_seen_at < %(now)s - interval '1 day'
