"""Kafka to Postgres: exact 1-minute bars, each with the proof that no trade is missing from it."""
