"""The history DAG: plans, then fetches days of trades or candles from before."""
