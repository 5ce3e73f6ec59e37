"""The SQL of the job, the files in `sql/`, and its answers."""

from functools import cache
from pathlib import Path
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names its class in lower case


@cache
def sql(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()


def scalar(cursor: Cursor) -> Any:
    """The first column of the next row, which there must be."""
    row = cursor.fetchone()
    assert row is not None
    return row[0]
