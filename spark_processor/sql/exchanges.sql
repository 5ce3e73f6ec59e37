insert into exchanges as e (exchange, consecutive_ids) values (%s, %s)
on conflict (exchange) do update set consecutive_ids = excluded.consecutive_ids
where e.consecutive_ids <> excluded.consecutive_ids
