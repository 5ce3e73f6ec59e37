-- Alerts that others opened, as the Spark job does, are mailed too; theirs are events, over when a day brought none.
update alerts
set unsent = 'opened'
where closed_at is null and unsent is null and mails_sent = 0 and what <> all(%(notes)s)
