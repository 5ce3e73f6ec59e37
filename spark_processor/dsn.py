"""A DSN of PostgreSQL as people write it into a setting.

One that cannot be read is refused at the start: libpq would say later what is wrong with it, and quote it with its
password, in a log that is mailed.
"""

from typing import Annotated

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn
from pydantic import AfterValidator

_WANTED = (
    "cannot be read: it should be postgresql://user:password@host:port/database, where characters of a password "
    "that mean something there are written as codes, / as %2F and @ as %40"
)


def _readable(dsn: str) -> str:
    try:
        parts = parse_dsn(dsn)
    except ProgrammingError:
        raise ValueError(_WANTED) from None
    # a password with one of these characters was taken for host and port
    if "@" in str(parts.get("host", "")) or not str(parts.get("port", "5432")).replace(",", "").isdigit():
        raise ValueError(_WANTED)
    return dsn


PostgresDsn = Annotated[str, AfterValidator(_readable)]
