-- both ends are meant
select open_wanted(%(exchange)s, %(symbol)s, %(first_id)s::bigint, %(last_id)s::bigint + 1)
