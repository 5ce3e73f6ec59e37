"""The job as it runs: Spark between a real broker and a real Postgres, and what a test does with them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from model import market, reference
from model.proxy import Proxy

from local.ports import free_port
from producer.trade import Trade, message_key, to_wire


@dataclass
class Job:
    """A running job: the Python driver, its JVM and the JVM's Python workers."""

    process: subprocess.Popen[bytes]
    log: Path
    metrics_url: str

    def everything(self, act: Callable[[psutil.Process], None]) -> None:
        root = psutil.Process(self.process.pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # the JVM has a short-lived child now and then
                act(process)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@dataclass
class World:
    """A topic, a database, and jobs between them."""

    bootstrap_servers: str
    topic: str
    dsn: str
    network: Proxy
    environ: dict[str, str]
    folder: Path
    producer: KafkaProducer
    connection: Any
    jobs: list[Job] = field(default_factory=list)

    def start(self, *arguments: str, **variables: str) -> Job:
        port = free_port()
        log = self.folder / f"job_{len(self.jobs)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "spark_processor.job", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environ, "JOB_METRICS_PORT": str(port), **variables},
                start_new_session=True,
            )
        self.jobs.append(Job(process, log, f"http://127.0.0.1:{port}/metrics"))
        return self.jobs[-1]

    def publish(self, values: Sequence[bytes | None], partition: int = 0, key: bytes | None = None) -> list[int]:
        """The offsets that the messages got."""
        futures = [self.producer.send(self.topic, value, key=key, partition=partition) for value in values]
        self.producer.flush()
        return [future.get(10).offset for future in futures]

    def send(self, trades: Sequence[Trade], partition: int = 0) -> list[int]:
        key = message_key(trades[0].exchange, trades[0].symbol)
        return self.publish([to_wire(trade) for trade in trades], partition, key)

    def query(self, statement: str, *values: Any) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def end_offsets(self) -> dict[str, int]:
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap_servers)
        partitions = [TopicPartition(self.topic, number) for number in consumer.partitions_for_topic(self.topic)]
        ends = consumer.end_offsets(partitions)
        consumer.close()
        return {str(place.partition): offset for place, offset in ends.items() if offset}

    def in_the_topic(self) -> int:
        """How many messages the broker still has."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap_servers)
        partitions = [TopicPartition(self.topic, number) for number in consumer.partitions_for_topic(self.topic)]
        messages = sum(consumer.end_offsets(partitions).values()) - sum(
            consumer.beginning_offsets(partitions).values()
        )
        consumer.close()
        return messages

    def processed(self, within_s: float = 240) -> None:
        """Returns when a batch has passed all that is in the topic now."""
        ends = self.end_offsets()

        def passed() -> bool:
            rows = self.query("select positions from batches order by batch_no desc limit 1")
            return bool(rows) and all(rows[0][0].get(partition, 0) >= end for partition, end in ends.items())

        wait_until(passed, within_s, f"a batch that ends at {ends}", self.jobs[-1].log)

    def bars(self, exchange: str, symbol: str) -> dict[int, reference.Bar]:
        rows = self.query(
            """select extract(epoch from window_start)::bigint / 60, open, high, low, close, volume, quote_volume,
                      trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id
               from trades_1min_agg where exchange = %s and symbol = %s""",
            exchange,
            symbol,
        )
        return {minute: reference.Bar(*values) for minute, *values in rows}

    def seen(self, exchange: str, symbol: str) -> str:
        found = self.query("select seen::text from coverage where exchange = %s and symbol = %s", exchange, symbol)
        return str(found[0][0])

    def everything(self) -> list[Any]:
        return [
            self.query(f"select * from {table} order by 1, 2, 3")  # noqa: S608 - names of this file
            for table in ("trades_1min_agg", "latest_prices", "rejected_messages")
        ] + self.query("select exchange, symbol, seen::text, wanted::text from coverage order by 1, 2")


def wait_until(condition: Callable[[], object], within_s: float, what: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            end = "" if log is None else "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-40:])
            pytest.fail(f"not within {within_s:g} s: {what}{end}")
        time.sleep(0.02)


def series(symbol: str, first_id: int, last_id: int, every_us: int = 1_000_000) -> list[Trade]:
    """Trades whose prices go up and down."""
    trades = market.series(first_id, last_id, every_us, symbol)
    return [replace(trade, price=Decimal(100 + trade.trade_id % 7)) for trade in trades]
