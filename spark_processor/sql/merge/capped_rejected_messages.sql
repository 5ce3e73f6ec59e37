-- Only run after new rejects: the oldest go.
delete from rejected_messages
where rejected_at <= (select rejected_at from rejected_messages order by rejected_at desc offset %(cap)s limit 1)
