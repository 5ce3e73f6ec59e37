"""The SQL of the DAGs' logic, which stands in files."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("sql")


@cache
def statement(name: str) -> str:
    """The text of sql/NAME.sql; its placeholders are psycopg2's."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
