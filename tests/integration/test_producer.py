"""The producer as a process, between the simulated exchange and a real broker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from kafka import KafkaConsumer, TopicPartition

from local.exchange.faults import Disconnect, Malformed, Refuse, Stall
from local.exchange.launch import Simulator, simulator
from producer.trade import Trade, from_wire

SYMBOLS = "binance:BTC-USDT,binance:ETH-USDT,kucoin:BTC-USDT"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(
        tmp_path_factory.mktemp("exchange"),
        symbols=SYMBOLS,
        rate=300,
        past_minutes=2,
        kucoin_connects_per_min=1000,
    ) as running:
        # REST gives KuCoin's last 100 trades: more than come while a connection is away
        running.control.change_rate("kucoin", "BTC-USDT", 15)
        yield running


@contextmanager
def producer(market: Simulator, servers: str, topic: str, **settings: object) -> Iterator["Running"]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        "ACTIVE_SYMBOLS": SYMBOLS,
        "BINANCE_WS_URL": market.ws_url,
        "BINANCE_REST_URL": market.url,
        "KUCOIN_REST_URL": market.url,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPIC": topic,
        "METRICS_PORT": str(port),
        "LOG_FORMAT": "json",
        "STALE_AFTER_S": "3",
    } | {name: str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "producer"], env=os.environ | environ, stderr=subprocess.PIPE, text=True
    )
    running = Running(process, port)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        running.rest_of_log()


class Running:
    """A running producer."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.log: list[dict[str, object]] = []

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)

    def metric(self, line: str) -> float:
        try:
            lines = self.get("/metrics").text.splitlines()
        except httpx.TransportError:
            return 0.0
        return sum(float(found.rsplit(" ", 1)[1]) for found in lines if found.startswith(line))

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        self.rest_of_log()
        return self.process.wait(60)

    def rest_of_log(self) -> None:
        if self.process.stderr is not None and not self.process.stderr.closed:
            self.log += [json.loads(line) for line in self.process.stderr]
            self.process.stderr.close()
        self.process.wait()

    def events(self) -> list[object]:
        return [line["event"] for line in self.log]


def until(condition: Callable[[], object], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def published(servers: str, topic: str) -> list[Trade]:
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(places)
    ends = consumer.end_offsets(places)
    found: list[Trade] = []
    while any(consumer.position(place) < end for place, end in ends.items()):
        for batch in consumer.poll(timeout_ms=200).values():
            found += [from_wire(record.value) for record in batch]
    consumer.close()
    return found


def assert_whole(market: Simulator, trades: list[Trade], exchange: str, symbol: str) -> None:
    """Between the first and the last published one, all true trades were published, and with their true values."""
    mine = {t.trade_id: t for t in trades if (t.exchange, t.symbol) == (exchange, symbol)}
    true = [t for t in market.control.true_trades(exchange, symbol) if min(mine) <= t.trade_id <= max(mine)]
    assert len(true) > 30
    assert [(t.trade_id, t.price, t.quantity, t.taker_side, t.traded_at_us) for t in true] == [
        (i, mine[i].price, mine[i].quantity, mine[i].taker_side, mine[i].traded_at_us) for i in sorted(mine)
    ]


def test_sigterm_delivers_all_that_was_read_and_exits_0(
    market: Simulator, kafka_bootstrap_servers: str, topic: str
) -> None:
    with producer(market, kafka_bootstrap_servers, topic) as running:
        until(lambda: running.metric('producer_trades_total{exchange="kucoin"') > 30, 30)
        assert running.get("/healthz").status_code == 200
        assert running.stop() == 0
    trades = published(kafka_bootstrap_servers, topic)
    for exchange, symbol in (("binance", "BTC-USDT"), ("binance", "ETH-USDT"), ("kucoin", "BTC-USDT")):
        assert_whole(market, trades, exchange, symbol)
    assert "stopped, everything delivered" in running.events()


def test_reconnects_and_broken_frames_are_healed_on_the_way_to_the_broker(
    market: Simulator, kafka_bootstrap_servers: str, topic: str
) -> None:
    with producer(market, kafka_bootstrap_servers, topic) as running:
        until(lambda: running.metric("producer_connections{") == 2, 30)
        until(lambda: running.metric("producer_trades_total{") > 100, 30)
        market.control.inject(Malformed(exchange="binance", count=20))
        until(lambda: running.metric("producer_rejected_frames_total{") == 20, 30)
        trades_before = running.metric('producer_trades_total{exchange="binance",source="ws"')
        until(
            lambda: running.metric('producer_trades_total{exchange="binance",source="ws"') > trades_before + 60, 30
        )
        holes_before = running.metric('producer_holes_total{exchange="binance"')
        market.control.inject(Refuse(duration_s=1))
        market.control.inject(Disconnect())
        # one of each symbol
        until(lambda: running.metric('producer_holes_total{exchange="binance"') >= holes_before + 2, 30)
        until(lambda: running.metric("producer_open_holes{") == 0, 30)
        until(lambda: running.metric('producer_trades_total{exchange="binance",source="rest"') > 10, 30)
        until(lambda: running.metric('producer_trades_total{exchange="kucoin"') > 60, 30)
        assert running.stop() == 0
    trades = published(kafka_bootstrap_servers, topic)
    for exchange, symbol in (("binance", "BTC-USDT"), ("binance", "ETH-USDT"), ("kucoin", "BTC-USDT")):
        assert_whole(market, trades, exchange, symbol)


def test_a_hole_of_10_000_trades_is_healed_within_10_seconds(
    market: Simulator, kafka_bootstrap_servers: str, topic: str
) -> None:
    symbol = {"ACTIVE_SYMBOLS": "binance:BTC-USDT"}
    with producer(market, kafka_bootstrap_servers, topic, **symbol) as running:
        until(lambda: running.metric("producer_trades_total{") > 10, 30)
        market.control.change_rate("binance", "BTC-USDT", 4000)
        market.control.inject(Refuse(exchange="binance", duration_s=2.9))
        market.control.inject(Disconnect(exchange="binance"))
        until(lambda: running.metric("producer_holes_total{") == 1, 30)
        market.control.change_rate("binance", "BTC-USDT", 100)
        found_at = time.monotonic()
        until(lambda: running.metric("producer_open_holes{") == 0, 30)
        healed = running.metric("producer_healed_trades_total{")
        assert healed > 10_000
        assert time.monotonic() - found_at < 10
        assert running.stop() == 0
    assert_whole(market, published(kafka_bootstrap_servers, topic), "binance", "BTC-USDT")


def test_stale_data_is_unhealthy(market: Simulator, kafka_bootstrap_servers: str, topic: str) -> None:
    with producer(market, kafka_bootstrap_servers, topic, STALE_AFTER_S=2) as running:
        until(lambda: running.metric("producer_trades_total{") > 10, 30)
        market.control.inject(Stall(exchange="kucoin", duration_s=6))
        until(lambda: running.get("/healthz").status_code == 503, 10)
        assert running.get("/healthz").json()["stale"] == ["kucoin"]
        until(lambda: running.get("/healthz").status_code == 200, 30)
        assert running.stop() == 0


def test_two_producers_at_once_publish_the_same_trades(
    market: Simulator, kafka_bootstrap_servers: str, topic: str
) -> None:
    with (
        producer(market, kafka_bootstrap_servers, topic) as one,
        producer(market, kafka_bootstrap_servers, topic) as other,
    ):
        for running in (one, other):
            until(lambda running=running: running.metric('producer_trades_total{exchange="kucoin"') > 30, 30)
        assert (one.stop(), other.stop()) == (0, 0)
    trades = published(kafka_bootstrap_servers, topic)
    assert len(trades) > len({(t.exchange, t.symbol, t.trade_id) for t in trades})
    assert_whole(market, trades, "binance", "BTC-USDT")


def test_what_stays_undelivered_is_counted_and_the_exit_code_says_so(market: Simulator, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        servers = f"127.0.0.1:{nobody.getsockname()[1]}"
        with producer(market, servers, "raw_trades", FLUSH_TIMEOUT_S=1) as running:
            until(lambda: running.metric("producer_connections{") == 2, 30)
            until(lambda: running.metric("producer_buffer_bytes") > 10_000, 30)
            assert running.stop() == 1
    last = running.log[-1]
    assert last["event"] == "stopped with trades undelivered"
    assert isinstance(last["undelivered"], int)
    assert last["undelivered"] > 10
