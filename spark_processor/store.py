"""The transaction: one batch into Postgres, whole or not at all."""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import structlog
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names its class in lower case
from psycopg2.extras import Json

from spark_processor.kernel import Coverage
from spark_processor.offsets import OffsetRange
from spark_processor.session import Session
from spark_processor.statements import scalar, sql

REJECTED_MESSAGES_KEPT = 100_000

_log = structlog.get_logger()


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


class Store:
    """The job's way into the database. It connects when it is first used, and again after a lost connection.

    topic: whose messages it commits. lock_idle_s: how long it may hang while it holds the lock. stopping: ends
    waiting for the lock.
    """

    def __init__(self, dsn: str, topic: str, lock_idle_s: float, stopping: threading.Event) -> None:
        self._topic = topic
        self._session = Session(dsn, lock_idle_s, stopping)

    @property
    def closed(self) -> bool:
        """Whether there is no session, or it has ended."""
        return self._session.closed

    def positions(self) -> dict[int, int]:
        """The next offset of each partition, after all that was ever committed of this topic."""
        with self._session.transaction() as cursor:
            cursor.execute(
                "select positions from batches where topic = %s order by batch_no desc limit 1", (self._topic,)
            )
            row = cursor.fetchone()
            return {int(partition): offset for partition, offset in row[0].items()} if row else {}

    def commit(
        self, ranges: Sequence[OffsetRange], evaluations: Sequence[Callable[[Coverage], pa.Table]]
    ) -> Batch:
        """Stores one batch, and that the topic was read to the end of these ranges, one of a partition.

        evaluations: their messages evaluated in different divisions into tasks, tried in turn until no symbol is
        spread over tasks.
        Raises SpreadOverTasks when that never happened, Stopped, SchemaMissing, psycopg2.Error.
        """
        started_at = datetime.now(UTC)
        with self._session.locked() as cursor:
            coverage = _read_coverage(cursor)
            for evaluate in evaluations:
                with self._session.kept_alive():
                    result = evaluate(coverage)
                _copy_to_stage(cursor, result)
                cursor.execute(sql("merge/spread"))
                if not scalar(cursor):
                    return _merge(cursor, self._topic, ranges, started_at)
                _log.info("a symbol is spread over tasks: its batch is evaluated again in one")
            raise SpreadOverTasks("a symbol's trades were counted by two tasks: nothing is committed")

    def close(self) -> None:
        """Ends the session; the next use begins another."""
        self._session.close()


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


def _merge(cursor: Cursor, topic: str, ranges: Sequence[OffsetRange], started_at: datetime) -> Batch:
    values = {
        "topic": topic,
        "offsets": Json({one.partition: [one.begin, one.end] for one in ranges}),
        "positions": Json({one.partition: one.end for one in ranges}),
        "started_at": started_at,
        "cap": REJECTED_MESSAGES_KEPT,
    }
    for name in ("coverage", "late_trades", "bars", "latest_prices"):
        cursor.execute(sql(f"merge/{name}"))
    cursor.execute(sql("merge/rejected_messages"), values)
    if cursor.rowcount:
        cursor.execute(sql("merge/capped_rejected_messages"), values)
    for name in ("time_falls", "proven"):
        cursor.execute(sql(f"merge/{name}"))
        values[name] = scalar(cursor)
    cursor.execute(sql("merge/batch"), values)
    row = cursor.fetchone()
    assert row is not None
    cursor.execute(sql("merge/old_batches"), values)
    return Batch(*(None if count is None else int(count) for count in row))  # type: ignore[arg-type]
