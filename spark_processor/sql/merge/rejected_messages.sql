-- Once each, also after a replay. Another message at the same place means that the topic was made anew.
insert into rejected_messages as old (topic, "partition", "offset", key, value, reason)
select %(topic)s, "partition", "offset", key, value, reason from stage where kind = 'rejected'
on conflict (topic, "partition", "offset") do update set
    key = excluded.key, value = excluded.value, reason = excluded.reason, rejected_at = excluded.rejected_at
where old.value is distinct from excluded.value
