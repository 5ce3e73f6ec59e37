"""A market, a database in the monitor's role, a broker, and the job in a thread, no Spark."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection

from crypto_pipeline.period import EPOCH, to_us
from local.exchange.launch import Simulator, simulator
from producer.trade import Trade

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Two hours of four symbols that go on trading."""
    symbols = "binance:BTC-USDT,binance:ETH-USDT,binance:TRX-USDT,kucoin:BTC-USDT"
    with simulator(tmp_path_factory.mktemp("market"), symbols=symbols, rate=4, past_minutes=120) as one:
        yield one
        one.control.end_faults()


@dataclass
class Job:
    """The job without Spark, on a topic and a database; `running` can be cleared to hold it up."""

    dsn: str
    servers: str
    topic: str
    running: threading.Event


@dataclass
class Pipeline:
    """db: as the monitor's role. owner: as the superuser."""

    db: connection
    owner: connection
    job: Job
    market: Simulator

    def publishing(self) -> AbstractContextManager[Callable[[Sequence[Trade]], None]]:
        # not above: it imports kafka-python, see ../../conftest.py
        from crypto_pipeline.raw_trades import publishing

        return publishing(self.job.servers, self.job.topic)

    def trades(self, exchange: str, symbol: str, from_at: datetime, until_at: datetime) -> list[Trade]:
        """What the market traded, as the producer would publish it."""
        true = self.market.control.true_trades(exchange, symbol, to_us(from_at), to_us(until_at))
        before = [None, *(trade.trade_id for trade in true)]
        return [
            Trade(
                exchange, symbol, one.trade_id, one.trade_id - 1 if exchange == "binance" else previous,
                one.price, one.quantity, one.taker_side, one.traded_at_us, one.traded_at_us, "ws",  # type: ignore[arg-type]
            )
            for one, previous in zip(true, before, strict=False)
        ]  # fmt: skip

    def stream(self, trades: Sequence[Trade]) -> None:
        """Publishes trades and waits until the job has taken them in."""
        with self.publishing() as publish:
            publish(trades)
        self.catch_up()

    def catch_up(self) -> None:
        from crypto_pipeline.monitor.stream import bounds, wait_until_passed

        _, ends = bounds(self.job.servers, self.job.topic)
        assert wait_until_passed(self.db, self.job.topic, ends, 30, poll_s=0.05)

    def all(self, query: str, *values: Any) -> list[Any]:
        with self.owner, self.owner.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def gaps(self) -> list[tuple[Any, ...]]:
        """Exchange, symbol, kind, first and last id, state, attempts, trades recovered of each, oldest first."""
        return self.all(
            "select exchange, symbol, kind, lower(ids), upper(ids) - 1, state, attempts, trades_recovered "
            "from gaps order by exchange, symbol, gap_id"
        )

    def differing_bars(self, exchange: str, symbol: str, from_at: datetime, until_at: datetime) -> list[Any]:
        """Minutes whose bar is not, digit for digit, what the market traded."""
        ours = {
            row[0]: row[1:]
            for row in self.all(
                "select window_start, open, high, low, close, volume, quote_volume, trade_count, first_trade_id, "
                "last_trade_id from trades_1min_agg where exchange = %s and symbol = %s and window_start >= %s "
                "and window_start < %s",
                exchange,
                symbol,
                from_at,
                until_at,
            )
        }
        true = {
            EPOCH + timedelta(microseconds=bar.window_start_us): (
                bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume, bar.trade_count,
                bar.first_trade_id, bar.last_trade_id,
            )
            for bar in self.market.control.true_bars(exchange, symbol, to_us(from_at), to_us(until_at))
        }  # fmt: skip
        return [minute for minute in {*ours, *true} if ours.get(minute) != true.get(minute)]


@pytest.fixture
def pipeline(
    new_database: Callable[[], str], kafka_bootstrap_servers: str, topic: str, market: Simulator
) -> Iterator[Pipeline]:
    """A database and a topic of the test's own, with a job that runs."""
    from model.job_thread import job_in_thread  # not above: it imports kafka-python, see ../../conftest.py

    dsn = new_database()
    db, owner = psycopg2.connect(dsn), psycopg2.connect(dsn)
    with db, db.cursor() as cursor:
        cursor.execute("set role crypto_monitor")
    with owner, owner.cursor() as cursor:
        cursor.execute("insert into exchanges values ('binance', true), ('kucoin', false) on conflict do nothing")
    try:
        with job_in_thread(dsn, kafka_bootstrap_servers, topic) as running:
            yield Pipeline(db, owner, Job(dsn, kafka_bootstrap_servers, topic, running), market)
    finally:
        db.close()
        owner.close()
        market.control.end_faults()


@pytest.fixture
def hour(market: Simulator) -> tuple[datetime, datetime]:
    """Ten closed minutes, an hour ago."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    return start, start + 10 * MINUTE
