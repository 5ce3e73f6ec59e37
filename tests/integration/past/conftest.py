"""An exchange with a past, a database, a broker, and the job in a thread, no Spark."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from psycopg2.extensions import connection

from crypto_pipeline.period import to_us
from local.exchange.control import Control
from local.exchange.launch import Simulator, simulator
from local.provision import create_login
from producer.trade import Trade

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="session")
def past_exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Three symbols, a trade in four seconds each, since two days before yesterday."""
    with simulator(
        tmp_path_factory.mktemp("past_exchange"),
        symbols="binance:BTC-USDT,binance:ETH-USDT,kucoin:BTC-USDT",
        rate=0.75,
        past_minutes=3 * 1440,
    ) as one:
        yield one


@dataclass(frozen=True)
class Pipeline:
    """A database that a job fills from a topic.

    db: of a user with the rights of Airflow's tasks. owner: of the tests themselves.
    """

    db: connection
    owner: connection
    dsn: str
    bootstrap_servers: str
    topic: str

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self.owner, self.owner.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    def change(self, statement: str, *values: object) -> int:
        with self.owner, self.owner.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.rowcount

    def publishing(self):  # type: ignore[no-untyped-def]  # a context manager that gives Publish
        # not above: it imports kafka-python, see ../../conftest.py
        from crypto_pipeline.raw_trades import publishing

        return publishing(self.bootstrap_servers, self.topic)


@pytest.fixture
def pipeline(new_database: Callable[[], str], kafka_bootstrap_servers: str, topic: str) -> Iterator[Pipeline]:
    """A database and a topic of the test's own, with a job that runs."""
    from model.job_thread import job_in_thread  # not above: it imports kafka-python, see ../../conftest.py

    dsn = new_database()
    db = psycopg2.connect(create_login(dsn, "airflow_tasks", "secret", "crypto_monitor"))
    owner = psycopg2.connect(dsn)
    try:
        with job_in_thread(dsn, kafka_bootstrap_servers, topic):
            yield Pipeline(db, owner, dsn, kafka_bootstrap_servers, topic)
    finally:
        db.close()
        owner.close()


def true_trades(control: Control, exchange: str, symbol: str, start: datetime, end: datetime) -> list[Trade]:
    """The trades of a time as the producer would have published them."""
    told = control.true_trades(exchange, symbol, to_us(start), to_us(end))
    previous = [None, *(trade.trade_id for trade in told)]
    return [
        Trade(
            exchange, symbol, t.trade_id,
            t.trade_id - 1 if exchange == "binance" else before,
            t.price, t.quantity, t.taker_side, t.traded_at_us, t.traded_at_us, "ws",  # type: ignore[arg-type]
        )
        for t, before in zip(told, previous, strict=False)
    ]  # fmt: skip


@pytest.fixture
def stream(past_exchange: Simulator, pipeline: Pipeline) -> Callable[[str, str, datetime, datetime], None]:
    """Streams a time of a symbol as the producer would have, and waits until it is in the bars."""

    def run(exchange: str, symbol: str, start: datetime, end: datetime) -> None:
        trades = true_trades(past_exchange.control, exchange, symbol, start, end)
        with pipeline.publishing() as publish:
            publish(trades)
        wait_for_top(pipeline, exchange, symbol, trades[-1].trade_id)

    return run


def wait_for_top(pipeline: Pipeline, exchange: str, symbol: str, trade_id: int) -> None:
    deadline = time.monotonic() + 30
    query = "select seen @> %s::bigint from coverage where exchange = %s and symbol = %s"
    while pipeline.rows(query, trade_id, exchange, symbol) != [(True,)]:
        assert time.monotonic() < deadline, f"{exchange} {symbol} {trade_id} was not taken in"
        time.sleep(0.05)


@pytest.fixture
def hour() -> tuple[datetime, datetime]:
    """An hour of yesterday."""
    start = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return start, start + timedelta(hours=1)
