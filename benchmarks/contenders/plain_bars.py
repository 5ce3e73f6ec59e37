"""Bars in Postgres as a project without proofs would keep them: one table, written by upsert."""

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

_FOLDER = Path(__file__).parent


def create(dsn: str) -> None:
    """Makes the table in a new database."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute((_FOLDER / "plain_bars.sql").read_text())


def upsert(connection: Any, rows: io.BytesIO) -> None:
    """Writes whole bars, as CSV in the order of the table's columns, over those that are there."""
    with connection, connection.cursor() as cursor:
        cursor.execute("create temp table if not exists stage (like trades_1min_agg) on commit delete rows")
        cursor.copy_expert("copy stage from stdin (format csv)", rows)
        cursor.execute((_FOLDER / "upsert_bars.sql").read_text())
