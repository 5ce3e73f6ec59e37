-- Minutes in which bar and candle differ; the candle is kept already, so the gap is verified.
insert into gaps (exchange, symbol, kind, window_from, window_to, state, detail, detected_at, changed_at, verified_at)
values (
    %(exchange)s, %(symbol)s, 'candle difference', %(start)s, %(end)s, 'verified', %(detail)s, %(now)s, %(now)s, %(now)s
)
