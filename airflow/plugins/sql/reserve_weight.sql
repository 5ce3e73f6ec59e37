-- 0 where the call may go out now, else after how many seconds to ask again
select reserve_weight(
    %(exchange)s, %(service)s, %(weight)s, %(most)s, make_interval(secs => %(window_s)s)
)
