update alerts
set unsent = 'reminder'
where closed_at is null and unsent is null and mails_sent > 0
    and last_mailed_at < %(now)s - make_interval(secs => %(every_s)s)
