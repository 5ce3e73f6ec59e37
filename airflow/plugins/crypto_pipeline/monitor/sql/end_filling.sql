-- What an attempt brought, and what the exchange answered. An attempt that could not be made does not count.
update gaps
set trades_recovered = trades_recovered + %(recovered)s,
    attempts = attempts - %(attempts_back)s,
    candles_fetched_at = coalesce(%(candles_fetched_at)s, candles_fetched_at),
    detail = %(detail)s
where gap_id = %(gap_id)s
