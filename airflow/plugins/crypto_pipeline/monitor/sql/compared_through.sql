-- Where the comparison of a symbol goes on: after the last one, else at its first bar, in any case not before `floor`.
select greatest(%(floor)s, coalesce(
    (select compared_through from candle_checks where exchange = %(exchange)s and symbol = %(symbol)s),
    (select min(window_start) from trades_1min_agg where exchange = %(exchange)s and symbol = %(symbol)s)
)) as compared_through
from coverage
where exchange = %(exchange)s and symbol = %(symbol)s
