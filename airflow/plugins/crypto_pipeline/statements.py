"""The SQL of the DAGs' logic, which stands in files beside what runs it.

`monitor/open_gaps` is the file monitor/sql/open_gaps.sql, and `store_candles` is sql/store_candles.sql.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2.extras import NamedTupleCursor

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_PACKAGE = Path(__file__).parent


@cache
def statement(name: str) -> str:
    """The text of a statement; its placeholders are psycopg2's."""
    file = _PACKAGE / f"{name}.sql"
    return (file.parent / "sql" / file.name).read_text(encoding="utf-8")


def rows(db: "connection", name: str, **values: Any) -> list[Any]:
    """Runs a statement in a transaction of its own; its rows as named tuples. Raises psycopg2.Error."""
    with db, db.cursor(cursor_factory=NamedTupleCursor) as cursor:
        cursor.execute(statement(name), values)  # type: ignore[no-untyped-call]  # so are psycopg2's stubs
        return cursor.fetchall() if cursor.description else []
