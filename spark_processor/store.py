"""The transaction: one batch into Postgres, whole or not at all, under the lock that keeps everyone else out.

A job that dies or hangs must not keep the lock. While a batch is evaluated its session says something every few
seconds; the database ends a session that has been silent for `lock_idle_s`, and one whose network is gone.
"""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import structlog
from psycopg2 import errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names its class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from producer.exchanges import EXCHANGES
from spark_processor.kernel import Coverage

NEEDED_SCHEMA = 1  # postgres/init/099_version.sql
APPLICATION = "CryptoAnalytics"
REJECTED_MESSAGES_KEPT = 100_000

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


class SpreadOverTasks(RuntimeError):
    """Two tasks counted ids of one symbol in overlapping spans; nothing was committed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a committed batch held; the columns of the table `batches`.

    newest_received_at_us: when the newest live trade of it was received; None where there was none.
    """

    batch_no: int
    messages: int
    trades: int
    voids: int
    duplicates: int
    rejected: int
    contradictions: int
    time_falls: int
    proven: int
    newest_received_at_us: int | None


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


class Store:
    """The job's way into the database. It connects when it is first used, and again after a lost connection.

    topic: whose messages it commits. lock_idle_s: how long it may hang while it holds the lock. stopping: ends
    waiting for the lock.
    """

    def __init__(self, dsn: str, topic: str, lock_idle_s: float, stopping: threading.Event) -> None:
        self._dsn = dsn
        self._topic = topic
        self._lock_idle_s = lock_idle_s
        self._stopping = stopping
        self._connection: Connection | None = None

    @property
    def closed(self) -> bool:
        """Whether there is no session, or it has ended."""
        return self._connection is None or self._connection.closed != 0

    def positions(self) -> dict[int, int]:
        """The next offset of each partition, after all that was ever committed of this topic."""
        with self._transaction() as cursor:
            cursor.execute(
                "select positions from batches where topic = %s order by batch_no desc limit 1", (self._topic,)
            )
            row = cursor.fetchone()
            return {int(partition): offset for partition, offset in row[0].items()} if row else {}

    def commit(self, evaluations: Sequence[Callable[[Coverage], pa.Table]]) -> Batch | None:
        """Stores one batch; None if it held no message.

        evaluations: the same messages evaluated in different divisions into tasks, tried in turn until no symbol
        is spread over tasks.
        Raises SpreadOverTasks when that never happened, Stopped, SchemaMissing, psycopg2.Error.
        """
        started_at = datetime.now(UTC)
        with self._locked() as cursor:
            coverage = _read_coverage(cursor)
            for evaluate in evaluations:
                with self._kept_alive():
                    result = evaluate(coverage)
                if not result.num_rows:
                    return None
                _copy_to_stage(cursor, result)
                cursor.execute(_sql("merge/spread"))
                if not _scalar(cursor):
                    return _merge(cursor, self._topic, started_at)
                _log.info("a symbol is spread over tasks: its batch is evaluated again in one")
            raise SpreadOverTasks("a symbol's trades were counted by two tasks: nothing is committed")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _locked(self) -> Iterator[Cursor]:
        """A transaction that alone may change bars and coverage."""
        while True:
            with self._transaction() as cursor:
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
    def _transaction(self) -> Iterator[Cursor]:
        connection = self._connect()
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        except psycopg2.Error:
            if connection.closed:
                self._connection = None
            raise

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = psycopg2.connect(self._dsn, **_CONNECTION)
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(
                        _sql("session"), {"idle": f"{self._lock_idle_s:g}s", "lock": f"{_LOCK_TIMEOUT_S}s"}
                    )
                    _check_schema(cursor)
                    # the views ask the database, and not Python, which exchange proves and which attests
                    cursor.executemany(
                        _sql("exchanges"),
                        [(name, exchange.consecutive_ids) for name, exchange in EXCHANGES.items()],
                    )
                    cursor.execute(_sql("stage"))
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _kept_alive(self) -> Iterator[None]:
        """Lets the database know that this process lives while nothing else is said."""
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


def _check_schema(cursor: Cursor) -> None:
    cursor.execute("select to_regprocedure('schema_version()') is not null")
    found = 0
    if _scalar(cursor):
        cursor.execute("select schema_version()")
        found = int(_scalar(cursor))
    if found < NEEDED_SCHEMA:
        cursor.execute("select current_database()")
        raise SchemaMissing(
            f"the database {_scalar(cursor)} has schema version {found}, and the job needs {NEEDED_SCHEMA}: as "
            "its owner apply postgres/init/*.sql in their order, each with psql -v ON_ERROR_STOP=1 -f; they "
            "can be applied again"
        )


def _read_coverage(cursor: Cursor) -> Coverage:
    cursor.execute("select exchange, symbol, lower(ids), upper(ids) - 1 from coverage, unnest(seen) as ids")
    seen = cursor.fetchall()
    cursor.execute(
        "select exchange, symbol, lower(ids) from coverage, unnest(wanted) as ids where lower(ids) >= upper(seen)"
    )
    return Coverage.of(seen, cursor.fetchall())


def _copy_to_stage(cursor: Cursor, result: pa.Table) -> None:
    rows = io.BytesIO()
    pyarrow.csv.write_csv(result, rows, pyarrow.csv.WriteOptions(include_header=False))
    rows.seek(0)
    columns = ", ".join(f'"{name}"' for name in result.column_names)
    cursor.execute("truncate stage")
    cursor.copy_expert(f"copy stage ({columns}) from stdin (format csv)", rows)


def _merge(cursor: Cursor, topic: str, started_at: datetime) -> Batch:
    values = {"topic": topic, "started_at": started_at, "cap": REJECTED_MESSAGES_KEPT}
    for name in ("coverage", "late_trades", "bars", "latest_prices"):
        cursor.execute(_sql(f"merge/{name}"))
    cursor.execute(_sql("merge/rejected_messages"), values)
    if cursor.rowcount:
        cursor.execute(_sql("merge/capped_rejected_messages"), values)
    for name in ("time_falls", "proven"):
        cursor.execute(_sql(f"merge/{name}"))
        values[name] = _scalar(cursor)
    cursor.execute(_sql("merge/batch"), values)
    row = cursor.fetchone()
    assert row is not None
    cursor.execute(_sql("merge/old_batches"), values)
    return Batch(*(None if count is None else int(count) for count in row))  # type: ignore[arg-type]


def _lock_holder(cursor: Cursor) -> list[dict[str, object]]:
    cursor.execute(_sql("lock_holder"))
    return [
        {"pid": pid, "application": application, "address": address, "since": str(since)}
        for pid, application, address, since in cursor.fetchall()
    ]


def _scalar(cursor: Cursor) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


@cache
def _sql(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
