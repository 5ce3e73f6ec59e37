"""The SQL of the DAGs' logic, which stands in files."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2.extras import NamedTupleCursor

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_FOLDER = Path(__file__).with_name("sql")


@cache
def statement(name: str) -> str:
    """The text of sql/NAME.sql; its placeholders are psycopg2's."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def rows(db: "connection", name: str, **values: Any) -> list[Any]:
    """Runs sql/NAME.sql in a transaction of its own; its rows as named tuples. Raises psycopg2.Error."""
    with db, db.cursor(cursor_factory=NamedTupleCursor) as cursor:
        cursor.execute(statement(name), values)  # type: ignore[no-untyped-call]  # so are psycopg2's stubs
        return cursor.fetchall() if cursor.description else []
