"""The job's session with the database, and the lock that keeps everyone else from bars and coverage.

A job that dies or hangs must not keep the lock. While a batch is evaluated its session says something every few
seconds; the database ends a session that has been silent for `lock_idle_s`, and one whose network is gone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
import structlog
from psycopg2 import errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names its class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from producer.exchanges import EXCHANGES
from spark_processor.settings import APPLICATION
from spark_processor.statements import scalar, sql

NEEDED_SCHEMA = 1  # postgres/init/099_version.sql

_log = structlog.get_logger()

# The server gives a silent peer up after 25 s, and so do we.
_CONNECTION: dict[str, Any] = {
    "application_name": APPLICATION,
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_LOCK_TIMEOUT_S = 5  # then it is said who holds it, and tried again


class SchemaMissing(RuntimeError):
    """The database lacks what the job works on; the message says what to do."""


class Stopped(Exception):
    """The job was told to stop while it waited for the lock; nothing was done."""


def is_retryable(error: psycopg2.Error, closed: bool) -> bool:
    """Whether the same batch may succeed later.

    closed: whether the error ended the session: whatever the database meant by it, another session may live.
    """
    if isinstance(
        error, errors.InvalidPassword | errors.InvalidCatalogName | errors.InvalidAuthorizationSpecification
    ):
        return False
    # libpq gives an error of connecting as text only
    if any(text in str(error) for text in ("authentication failed", '" does not exist', "no pg_hba.conf entry")):
        return False
    return closed or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)


class Session:
    """Connects when it is first used, and again after a lost connection.

    Each begins with its time limits, the table `stage`, and the registry of exchanges told to the database.
    lock_idle_s: how long it may hang while it holds the lock. stopping: ends waiting for the lock.
    """

    def __init__(self, dsn: str, lock_idle_s: float, stopping: threading.Event) -> None:
        self._dsn = dsn
        self._lock_idle_s = lock_idle_s
        self._stopping = stopping
        self._connection: Connection | None = None

    @property
    def closed(self) -> bool:
        """Whether there is no session, or it has ended."""
        return self._connection is None or self._connection.closed != 0

    def close(self) -> None:
        """Ends the session; the next use begins another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def locked(self) -> Iterator[Cursor]:
        """A transaction that alone may change bars and coverage. Raises Stopped, SchemaMissing, psycopg2.Error."""
        while True:
            with self.transaction() as cursor:
                try:
                    cursor.execute("select lock_bars()")
                except errors.LockNotAvailable:
                    cursor.connection.rollback()
                    _log.warning("another job holds the lock of the bars", holder=_lock_holder(cursor))
                else:
                    yield cursor
                    return
            if self._stopping.is_set():
                raise Stopped

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Commits at its end, or rolls back after an error. Raises SchemaMissing, psycopg2.Error."""
        connection = self._connect()
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        except psycopg2.Error:
            if connection.closed:
                self._connection = None
            raise

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Within a transaction: lets the database know that this process lives while nothing else is said."""
        connection = self._connection
        assert connection is not None
        ended = threading.Event()

        def speak() -> None:
            # an error is left for the next statement to meet
            with suppress(psycopg2.Error):
                while not ended.wait(self._lock_idle_s / 5):
                    with connection.cursor() as cursor:
                        cursor.execute("select")

        speaker = threading.Thread(target=speak, name="kept alive", daemon=True)
        speaker.start()
        try:
            yield
        finally:
            ended.set()
            speaker.join()

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = psycopg2.connect(self._dsn, **_CONNECTION)
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(
                        sql("session"), {"idle": f"{self._lock_idle_s:g}s", "lock": f"{_LOCK_TIMEOUT_S}s"}
                    )
                    _check_schema(cursor)
                    # the views ask the database, and not Python, which exchange proves and which attests
                    cursor.executemany(
                        sql("exchanges"),
                        [(name, exchange.consecutive_ids) for name, exchange in EXCHANGES.items()],
                    )
                    cursor.execute(sql("stage"))
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _check_schema(cursor: Cursor) -> None:
    cursor.execute("select to_regprocedure('schema_version()') is not null")
    found = 0
    if scalar(cursor):
        cursor.execute("select schema_version()")
        found = int(scalar(cursor))
    if found < NEEDED_SCHEMA:
        cursor.execute("select current_database()")
        raise SchemaMissing(
            f"the database {scalar(cursor)} has schema version {found}, and the job needs {NEEDED_SCHEMA}: as "
            "its owner apply postgres/init/*.sql in their order, each with psql -v ON_ERROR_STOP=1 -f; they "
            "can be applied again"
        )


def _lock_holder(cursor: Cursor) -> list[dict[str, object]]:
    cursor.execute(sql("lock_holder"))
    return [
        {"pid": pid, "application": application, "address": address, "since": str(since)}
        for pid, application, address, since in cursor.fetchall()
    ]
