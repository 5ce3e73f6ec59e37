-- What the exchange says our address has used, for all who share it.
insert into rest_limits (exchange, used, told_at)
values (%(exchange)s, %(used)s, clock_timestamp())
on conflict (exchange) do update set used = excluded.used, told_at = excluded.told_at
