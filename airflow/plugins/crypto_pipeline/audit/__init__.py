"""The audit DAG: bars against the exchange's candles, field by field, and the certificates of days."""
