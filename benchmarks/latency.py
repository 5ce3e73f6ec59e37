"""How old a trade is when its bar can be read: from `received_at` to visible in Postgres.

    python -m benchmarks.latency [--rate 2000] [--seconds 60] [--trigger "1 second"] [--symbols 200]
        [--poison 10000]

Publishes trades at a steady rate through the contract's writer, and looks at the database every few milliseconds
for the newest id that each symbol's bars hold. The first half minute from the first batch, in which Java warms up,
does not count. --poison: so many messages of random bytes a second stand among the trades.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import psycopg2
from confluent_kafka import Producer

from benchmarks import results
from benchmarks.measure import TOPIC, environment
from benchmarks.servers import new_database, running_broker, running_postgres
from local.broker import PARTITIONS, create_topic
from producer.trade import Trade, message_key, to_wire

_START_WITHIN_S = 180
_WARM_UP_S = 30
_LOOK_EVERY_S = 0.005


@dataclass(frozen=True)
class Latency:
    """From `received_at` to visible in Postgres.

    rate: trades a second. poison: messages of random bytes a second. trades: how many were looked at.
    """

    rate: int
    poison: int
    trigger: str
    trades: int
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass
class Sent:
    """When each trade was received, by symbol; its id is its place."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    received_at_s: dict[str, list[float]] = field(default_factory=dict)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_broker(folder / "kafka") as servers, running_postgres(folder / "postgres") as dsn:
            create_topic(servers, TOPIC)
            own = new_database(dsn, "latency")
            job = _start_job(servers, own, folder, options.trigger)
            poison = _start_poison(servers, options.poison)
            try:
                ages_s = _measure(servers, own, options.rate, options.symbols, options.seconds)
            finally:
                for process in (*poison, job):
                    process.send_signal(signal.SIGTERM)
                    process.wait(60)
    if not ages_s:
        raise SystemExit("no trade became visible")
    ages_s.sort()
    found = Latency(
        *(options.rate, options.poison, options.trigger, len(ages_s)),
        *(ages_s[min(len(ages_s) - 1, int(len(ages_s) * part))] for part in (0.5, 0.95, 0.99)),
    )
    _say(f"{found.rate} trades/s, trigger {found.trigger}: {found.trades} trades")
    _say(f"received to visible: p50 {found.p50_s:.2f} s, p95 {found.p95_s:.2f} s, p99 {found.p99_s:.2f} s")
    name = f"latency_{found.rate}_{found.trigger.replace(' ', '_')}{'_poisoned' if found.poison else ''}"
    results.write(name, {"symbols": options.symbols, "seconds": options.seconds}, [found])


def _measure(servers: str, dsn: str, rate: int, symbols: int, seconds: int) -> list[float]:
    """The age in seconds at which each trade received after the warm-up became visible."""
    sent, ending = Sent(), threading.Event()
    publisher = threading.Thread(target=_publish, args=(servers, rate, symbols, sent, ending))
    publisher.start()
    visible: dict[str, int] = {}
    ages_s: list[float] = []
    counted_from = deadline = time.time() + _START_WITHIN_S
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            seen_batch = None
            while time.time() < deadline:
                time.sleep(_LOOK_EVERY_S)
                cursor.execute("select max(batch_no) from batches")
                [batch] = cursor.fetchone()
                if batch == seen_batch:
                    continue
                seen_batch = batch
                cursor.execute("select symbol, trade_id from latest_prices")
                found, now = cursor.fetchall(), time.time()
                if found and not visible:
                    counted_from = now + _WARM_UP_S
                    deadline = counted_from + seconds
                with sent.lock:
                    for symbol, newest in found:
                        received = sent.received_at_s[symbol][visible.get(symbol, 0) : newest + 1]
                        ages_s += [now - at_s for at_s in received if at_s > counted_from]
                        visible[symbol] = newest + 1
    finally:
        ending.set()
        publisher.join()
        connection.close()
    return ages_s


def _publish(servers: str, rate: int, symbols: int, sent: Sent, ending: threading.Event) -> None:
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "zstd",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    names = [f"S{number:03d}-USDT" for number in range(symbols)]
    sent.received_at_s.update({name: [] for name in names})
    began, published = time.time(), 0
    while not ending.wait(0.005):
        producer.poll(0)
        for _ in range(int((time.time() - began) * rate) - published):
            name = names[published % symbols]
            now = time.time()
            with sent.lock:
                trade_id = len(sent.received_at_s[name])
                sent.received_at_s[name].append(now)
            now_us = int(now * 1e6)
            trade = Trade(
                *("binance", name, trade_id, trade_id - 1 if trade_id else None, Decimal("100.5"), Decimal("0.1")),
                *("buy", now_us - 50_000, now_us, "ws"),
            )
            producer.produce(
                TOPIC, to_wire(trade), message_key("binance", name), partition=published % symbols % PARTITIONS
            )
            published += 1
    achieved = published / (time.time() - began)
    if achieved < 0.95 * rate:
        _say(f"only {achieved:.0f} trades/s could be published")
    producer.flush()


def _start_job(servers: str, dsn: str, folder: Path, trigger: str) -> subprocess.Popen[bytes]:
    environ = environment(servers, dsn, folder)
    return subprocess.Popen(
        [sys.executable, "-m", "spark_processor.job", "--trigger-interval", trigger], env=environ
    )


def _start_poison(servers: str, rate: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.poison", servers, TOPIC, str(rate)]
    return [subprocess.Popen(command)] if rate else []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--trigger", default="1 second")
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--poison", type=int, default=0)
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
