-- The exchange wants no call for a while: nobody calls it.
insert into rest_limits (exchange, closed_until)
values (%(exchange)s, clock_timestamp() + make_interval(secs => %(for_s)s))
on conflict (exchange) do update
set closed_until = greatest(rest_limits.closed_until, excluded.closed_until)
