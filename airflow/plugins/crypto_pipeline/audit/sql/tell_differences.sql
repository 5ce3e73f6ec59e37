-- a mail has told of these; what changed since is told by the next
update bar_differences
set mailed_at = clock_timestamp()
where mailed_at is null and changed_at <= %(through)s
