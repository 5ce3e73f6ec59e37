-- What the mail told is told, unless something else is to be told by now.
update alerts
set mails_sent = mails_sent + 1,
    last_mailed_at = %(now)s,
    unsent = case when unsent <> %(unsent)s then unsent end
where alert_id = %(alert_id)s
