"""A steady load on the topic, published through the contract's writer: trades, and if asked, poison among them."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal

from confluent_kafka import Producer

from benchmarks.measure import TOPIC
from local.broker import PARTITIONS
from producer.trade import Trade, message_key, to_wire


class Sent:
    """When each trade was received, by symbol. Its id is its place."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._received_at_s: dict[str, list[float]] = {symbol: [] for symbol in symbols}

    def add(self, symbol: str) -> tuple[int, float]:
        """One more trade, received now: its id, and when that is (seconds since 1970)."""
        with self._lock:
            received_at_s = self._received_at_s[symbol]
            received_at_s.append(now := time.time())
            return len(received_at_s) - 1, now

    def between(self, symbol: str, first_id: int, last_id: int) -> list[float]:
        """When the trades with these ids were received."""
        with self._lock:
            return self._received_at_s[symbol][first_id : last_id + 1]

    def newest(self) -> dict[str, int]:
        """The id of the newest trade of each symbol that has one."""
        with self._lock:
            return {symbol: len(all_) - 1 for symbol, all_ in self._received_at_s.items() if all_}


@contextmanager
def load(servers: str, rate: int, symbols: int = 200, poison: int = 0) -> Iterator[Sent]:
    """Publishes as long as the context lasts. rate: trades a second. poison: messages of random bytes a second.

    It ends with SystemExit where fewer could be published.
    """
    names = [f"S{number:03d}-USDT" for number in range(symbols)]
    sent, ending = Sent(names), threading.Event()
    with _poison(servers, poison), ThreadPoolExecutor(1) as publisher:
        achieved = publisher.submit(_publish, servers, rate, names, sent, ending)
        try:
            yield sent
        finally:
            ending.set()
    if achieved.result() < 0.95 * rate:
        raise SystemExit(f"only {achieved.result():,.0f} of {rate:,} trades/s could be published")


@contextmanager
def _poison(servers: str, rate: int) -> Iterator[None]:
    if not rate:
        yield
        return
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.poison", servers, TOPIC, str(rate)]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        exit_code = process.wait(60)
    if exit_code:
        raise SystemExit(f"the poison ended with exit code {exit_code}")


def _publish(servers: str, rate: int, symbols: Sequence[str], sent: Sent, ending: threading.Event) -> float:
    """How many trades a second it published until told to end."""
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "zstd",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    began, published = time.time(), 0
    while not ending.wait(0.005):
        producer.poll(0)
        for _ in range(int((time.time() - began) * rate) - published):
            symbol = symbols[published % len(symbols)]
            trade_id, received_at_s = sent.add(symbol)
            received_at_us = int(received_at_s * 1e6)
            trade = Trade(
                *("binance", symbol, trade_id, trade_id - 1 if trade_id else None),
                *(Decimal("100.5"), Decimal("0.1"), "buy", received_at_us - 50_000, received_at_us, "ws"),
            )
            partition = published % len(symbols) % PARTITIONS
            producer.produce(TOPIC, to_wire(trade), message_key("binance", symbol), partition=partition)
            published += 1
    achieved = published / (time.time() - began)
    producer.flush(30)
    return achieved
