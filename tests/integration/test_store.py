"""The transaction: its lock, its session, its rights, and what it refuses."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from model.market import T0_US, TRADE, series
from model.proxy import proxy
from psycopg2.extensions import parse_dsn
from structlog.testing import capture_logs

from local import provision
from producer.trade import Trade, to_wire
from spark_processor import kernel, session, store
from spark_processor.kernel import Coverage
from spark_processor.offsets import OffsetRange
from spark_processor.session import SchemaMissing, Stopped, is_retryable
from spark_processor.store import SpreadOverTasks, Store


class Database:
    """A database of one test, as its owner and as the job sees it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.writer_dsn = provision.create_login(dsn, "writer_of_the_tests", "secret", "crypto_writer")
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True

    def query(self, statement: str, *values: Any) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def database(new_database: Callable[[], str]) -> Iterator[Database]:
    one = Database(new_database())
    yield one
    one.close()


@contextmanager
def opened(dsn: str, lock_idle_s: float = 30, stopping: threading.Event | None = None) -> Iterator[Store]:
    one = Store(dsn, "raw_trades", lock_idle_s, stopping or threading.Event())
    try:
        yield one
    finally:
        one.close()


def evaluation(*trades: Trade | bytes, partition: int = 0, offset: int = 0) -> Callable[[Coverage], pa.Table]:
    values = [trade if isinstance(trade, bytes) else to_wire(trade) for trade in trades]
    rows = [(value, None, partition, offset + place) for place, value in enumerate(values)]
    messages = kernel.table_of(rows, kernel.MESSAGES)
    return lambda coverage: kernel.evaluate(messages, coverage)


def test_the_job_needs_no_more_than_the_writers_rights(database: Database) -> None:
    with opened(database.writer_dsn) as one:
        batch = one.commit([OffsetRange(0, 0, 6)], [evaluation(*series(1, 5), b"no trade")])
        assert (batch.messages, batch.trades, batch.rejected, batch.proven) == (6, 5, 1, 3)
        assert one.positions() == {0: 6}
    with psycopg2.connect(database.writer_dsn) as connection, connection.cursor() as cursor:
        for forbidden in (
            "drop table coverage",
            "delete from trades_1min_agg",
            "truncate batches",
            "select forget('binance', 'BTC-USDT', now(), now())",
            "create table public.mine (x int)",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(forbidden)
            connection.rollback()


def test_where_to_read_on_is_stored_also_of_what_held_no_message(database: Database) -> None:
    with opened(database.writer_dsn) as one:
        one.commit([OffsetRange(0, 0, 1), OffsetRange(1, 0, 2)], [evaluation(b"no trade", b"", b"")])
        batch = one.commit([OffsetRange(1, 2, 5)], [lambda coverage: kernel.RESULT.empty_table()])
        assert (batch.messages, batch.trades, batch.newest_received_at_us) == (0, 0, None)
        assert one.positions() == {0: 1, 1: 5}
    assert database.query("select offsets from batches order by batch_no") == [
        ({"0": [0, 1], "1": [0, 2]},),
        ({"1": [2, 5]},),
    ]


def test_without_the_schema_it_says_what_to_do(empty_database_dsn: str) -> None:
    with opened(empty_database_dsn) as one, pytest.raises(SchemaMissing, match=r"apply postgres/init/\*\.sql"):
        one.positions()


def test_an_older_schema_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "NEEDED_SCHEMA", 10**6)
    with opened(database.writer_dsn) as one, pytest.raises(SchemaMissing, match="needs 1000000"):
        one.positions()


def test_the_registry_of_exchanges_is_told_to_the_database(database: Database) -> None:
    database.query("insert into exchanges values ('binance', false)")
    with opened(database.writer_dsn) as one:
        one.positions()
    assert database.query("select * from exchanges order by 1") == [("binance", True), ("kucoin", False)]


def test_an_error_leaves_nothing_of_the_batch(database: Database) -> None:
    database.query("alter table batches add constraint full_disk check (messages < 3)")
    with opened(database.writer_dsn) as one:
        with pytest.raises(psycopg2.errors.CheckViolation):
            one.commit([], [evaluation(*series(1, 5))])
        assert database.query(
            "select (select count(*) from coverage), (select count(*) from trades_1min_agg)"
        ) == [(0, 0)]
        assert one.commit([], [evaluation(*series(1, 2))]).trades == 2


def test_a_symbol_spread_over_tasks_is_evaluated_again(database: Database) -> None:
    odd, even = series(1, 9)[::2], series(1, 9)[1::2]

    def apart(coverage: Coverage) -> pa.Table:
        return pa.concat_tables(
            [evaluation(*odd, partition=0)(coverage), evaluation(*even, partition=1)(coverage)]
        )

    with opened(database.writer_dsn) as one:
        with pytest.raises(SpreadOverTasks):
            one.commit([], [apart])
        assert database.query("select * from coverage") == []
        batch = one.commit([], [apart, evaluation(*odd, *even)])
    assert batch.trades == 9


def test_a_session_cut_off_within_a_batch_frees_the_lock(database: Database) -> None:
    """The cable is pulled while the kernels work: nobody ends the session, it only falls silent."""
    port = int(parse_dsn(database.writer_dsn)["port"])
    with (
        proxy(port) as network,
        opened(provision.changed(database.writer_dsn, port=str(network.port)), lock_idle_s=2) as cut_off,
        opened(database.writer_dsn) as other,
    ):
        frozen, release = threading.Event(), threading.Event()

        def freezing(coverage: Coverage) -> pa.Table:
            network.freeze()
            frozen.set()
            release.wait(60)
            return evaluation(*series(1, 5))(coverage)

        failures: list[BaseException] = []

        def commit() -> None:
            try:
                cut_off.commit([], [freezing])
            except psycopg2.Error as error:
                failures.append(error)

        thread = threading.Thread(target=commit)
        thread.start()
        assert frozen.wait(30)
        began = time.monotonic()
        assert other.commit([], [evaluation(*series(1, 3))]).trades == 3
        assert time.monotonic() - began < 20
        release.set()
        network.cut()
        thread.join(30)
        assert [
            is_retryable(error, cut_off.closed) for error in failures if isinstance(error, psycopg2.Error)
        ] == [True]
        network.mend()
        batch = cut_off.commit([], [evaluation(*series(1, 5))])
    assert (batch.trades, batch.duplicates) == (2, 3)


def test_a_batch_may_take_longer_than_a_silent_session_may_live(database: Database) -> None:
    def slow(coverage: Coverage) -> pa.Table:
        # not a wait for a condition: this is the batch that takes long
        time.sleep(3)
        return evaluation(*series(1, 5))(coverage)

    with opened(database.writer_dsn, lock_idle_s=1) as one:
        assert one.commit([], [slow]).trades == 5


def test_who_holds_the_lock_is_said_and_a_stop_ends_the_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_LOCK_TIMEOUT_S", 0.2)
    stopping = threading.Event()
    holder = psycopg2.connect(database.dsn, application_name="the holder")
    with holder.cursor() as cursor:
        cursor.execute("select lock_bars()")
    stopping.set()
    with opened(database.dsn, stopping=stopping) as one, capture_logs() as logs, pytest.raises(Stopped):
        one.commit([], [evaluation(TRADE)])
    holder.close()
    assert [line["holder"][0]["application"] for line in logs] == ["the holder"]


def test_only_the_newest_rejected_messages_are_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "REJECTED_MESSAGES_KEPT", 3)
    with opened(database.writer_dsn) as one:
        for offset in range(5):
            one.commit([], [evaluation(b"no trade", offset=offset)])
    assert database.query('select "offset" from rejected_messages order by 1') == [(2,), (3,), (4,)]


def test_a_message_at_the_place_of_another_replaces_it(database: Database) -> None:
    with opened(database.writer_dsn) as one:
        for value in (b"old", b"old", b"new"):
            one.commit([], [evaluation(value)])
    assert [bytes(row[0]) for row in database.query("select value from rejected_messages")] == [b"new"]


def test_a_trade_for_a_proven_bar_is_merged_and_raises_an_alert(database: Database) -> None:
    """Trade times fall: what the proof rests on does not hold."""
    trades = series(1, 4)
    falling = replace(trades[-1], trade_id=5, prev_trade_id=4, traded_at_us=trades[1].traded_at_us + 1)
    with opened(database.writer_dsn) as one:
        one.commit([], [evaluation(*trades)])
        batch = one.commit([], [evaluation(falling)])
    assert batch.time_falls == 1
    assert database.query("select what, about from alerts") == [
        ("late trade", "binance BTC-USDT 2024-11-21 00:02")
    ]
    bars = database.query("select trade_count, first_trade_id, last_trade_id from trades_1min_agg order by 1 desc")
    assert bars[0] == (2, 2, 5)


def test_a_closed_symbol_is_not_reopened_by_messages_but_by_a_call(database: Database) -> None:
    def wanted() -> str:
        return str(database.query("select wanted::text from coverage")[0][0])

    with opened(database.writer_dsn) as one:
        one.commit([], [evaluation(*series(5, 9))])
        assert wanted() == "{[5,)}"
        database.query("select close_wanted('binance', 'BTC-USDT')")
        one.commit([], [evaluation(*series(20, 22), *series(3, 3))])
        assert wanted() == "{[3,10)}"
        database.query("select open_wanted('binance', 'BTC-USDT', 20)")
        one.commit([], [evaluation(*series(23, 24))])
        assert wanted() == "{[3,10),[20,)}"


def test_history_does_not_keep_live_trades_from_being_wanted(database: Database) -> None:
    database.query("select open_wanted('binance', 'BTC-USDT', 1, 4)")
    with opened(database.writer_dsn) as one:
        one.commit([], [evaluation(*(replace(trade, source="rest") for trade in series(1, 3)))])
        one.commit([], [evaluation(*series(8, 9))])
    assert database.query("select seen::text, wanted::text from coverage") == [("{[1,4),[8,10)}", "{[1,4),[8,)}")]


def test_marking_costs_no_more_with_a_million_old_bars(database: Database) -> None:
    """Compared by the buffers that marking touches: a count, where times would be noise."""
    with opened(database.writer_dsn) as one:
        one.commit([], [evaluation(*series(10**7, 10**7 + 9))])
        few = buffers(database)
        database.query(
            """insert into trades_1min_agg
               select 'binance', symbol, to_timestamp(%s) + n * interval '1 minute',
                      1, 1, 1, 1, 1, 1, 1, 1, 1, n, n, now(), now()
               from generate_series(1, 250000) n, unnest(array['BTC-USDT', 'A-B', 'C-D', 'E-F']) symbol""",
            T0_US // 10**6 - 86_400 * 365,
        )
        database.query("analyze trades_1min_agg")
        many = buffers(database)
    assert many < few * 2 + 50


def buffers(database: Database) -> int:
    """How many pages it takes to mark three bars that have just become unproven."""
    database.query(
        """update trades_1min_agg set proven_at = null
           where symbol = 'BTC-USDT' and last_trade_id between 10000004 and 10000006"""
    )
    statement = "select mark_proven('binance', 'BTC-USDT', '{[10000004,10000007)}')"
    (plan,) = database.query(f"explain (analyze, buffers, format json) {statement}")[0][0]
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


@pytest.mark.parametrize(
    ("error", "closed", "retryable"),
    [
        (psycopg2.OperationalError("connection refused"), True, True),
        (psycopg2.OperationalError('FATAL:  password authentication failed for user "w"'), True, False),
        (psycopg2.OperationalError('FATAL:  database "x" does not exist'), True, False),
        (psycopg2.errors.AdminShutdown("terminating connection"), True, True),
        (psycopg2.errors.IdleInTransactionSessionTimeout("terminating connection"), True, True),
        (psycopg2.errors.LockNotAvailable("canceling statement"), False, True),
        (psycopg2.errors.UndefinedTable('relation "x" does not exist'), False, False),
        (psycopg2.errors.NumericValueOutOfRange("overflow"), False, False),
    ],
)
def test_what_may_succeed_later_is_tried_again(error: psycopg2.Error, closed: bool, retryable: bool) -> None:
    assert is_retryable(error, closed) is retryable
