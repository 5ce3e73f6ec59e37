"""Trades a second from the exchange to the broker's acknowledgement: this producer, and the loop of the tutorials.

    python -m benchmarks.producer [--rate 20000] [--symbols 200] [--seconds 20] [--keep]

Starts a broker and the exchange simulator, which sends `rate` trades a second whatever is read, and lets each
candidate run alone. CPU is the candidate's process alone; latency is from the receipt of a frame to the
acknowledgement, estimated from the buckets of a histogram; of the loop it is that of each hundredth trade.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks import results
from benchmarks.servers import running_broker
from local.broker import create_topic
from local.exchange.launch import Simulator, simulator
from local.ports import free_port
from producer.metrics import BUCKETS_S

_NEVER_TOO_SLOW = 1 << 40  # a candidate that is behind stays connected, as the rates are to be compared


@dataclass(frozen=True)
class Measured:
    """What a candidate did in the measured seconds."""

    name: str
    trades_per_s: float
    cpu_us_per_trade: float
    memory_mb: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Reading:
    """Running totals of a candidate. delivery: cumulative counts of latencies by upper bound in seconds."""

    trades: float
    delivery: dict[float, float]


def main() -> None:
    options = _options()
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder) / "kafka") as broker:
        print(f"{options.rate} trades/s offered, {options.symbols} symbols, {options.seconds} s", flush=True)
        print(f"{'':12} {'trades/s':>9} {'CPU us/trade':>13} {'MB':>6} {'p50 ms':>8} {'p99 ms':>8}", flush=True)
        for name, start in (("producer", _start_producer), ("plain loop", _start_plain_loop)):
            state_dir = Path(folder) / name.replace(" ", "_")
            with simulator(
                state_dir,
                symbols=f"binance:{options.symbols}",
                rate=options.rate,
                past_minutes=0,
                slow_client_bytes=_NEVER_TOO_SLOW,
            ) as market:
                topic = f"bench_{name.replace(' ', '_')}"
                create_topic(broker.address, topic)
                symbols = _symbols(market)
                found = _measure(name, start, market, broker.address, topic, symbols, options.seconds)
                measured.append(found)
                print(
                    f"{found.name:12} {found.trades_per_s:9,.0f} {found.cpu_us_per_trade:13.1f}"
                    f" {found.memory_mb:6.0f} {found.p50_ms:8.0f} {found.p99_ms:8.0f}",
                    flush=True,
                )

    results.keep(options, f"producer_{options.rate}", {"rate": options.rate, "symbols": options.symbols}, measured)


Start = Callable[[Simulator, str, str, list[str], int], subprocess.Popen[bytes]]


def _measure(
    name: str, start: Start, market: Simulator, servers: str, topic: str, symbols: list[str], seconds: float
) -> Measured:
    port = free_port()
    candidate = start(market, servers, topic, symbols, port)
    process = psutil.Process(candidate.pid)
    try:
        deadline = time.monotonic() + 60
        while (reading := _read(port)) is None or reading.trades < 1000:
            if time.monotonic() > deadline or candidate.poll() is not None:
                raise SystemExit(f"{name} delivers nothing (exit code {candidate.poll()})")
            time.sleep(0.1)
        time.sleep(3)  # let it settle
        before, cpu_before, began = _read(port), process.cpu_times(), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, ended = _read(port), process.cpu_times(), time.monotonic()
        memory = process.memory_info().rss
        time.sleep(1)
        still = _read(port)
    finally:
        candidate.send_signal(signal.SIGTERM)
        candidate.wait(90)
    if before is None or after is None or still is None or still.trades <= after.trades:
        raise SystemExit(f"{name} stopped delivering before the end")
    trades = after.trades - before.trades
    cpu_s = cpu_after.user + cpu_after.system - cpu_before.user - cpu_before.system
    delivery = {bound: count - before.delivery[bound] for bound, count in after.delivery.items()}
    return Measured(
        name,
        trades / (ended - began),
        cpu_s / trades * 1e6,
        memory / 2**20,
        _quantile(delivery, 0.5) * 1e3,
        _quantile(delivery, 0.99) * 1e3,
    )


def _start_producer(
    market: Simulator, servers: str, topic: str, symbols: list[str], port: int
) -> subprocess.Popen[bytes]:
    environ = {
        "ACTIVE_SYMBOLS": ",".join(f"binance:{symbol}" for symbol in symbols),
        "BINANCE_WS_URL": market.ws_url,
        "BINANCE_REST_URL": market.url,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPIC": topic,
        "METRICS_PORT": str(port),
        "LOG_LEVEL": "WARNING",
    }
    return subprocess.Popen([sys.executable, "-m", "producer"], env=os.environ | environ)


def _start_plain_loop(
    market: Simulator, servers: str, topic: str, symbols: list[str], port: int
) -> subprocess.Popen[bytes]:
    streams = "/".join(f"{symbol.replace('-', '').lower()}@trade" for symbol in symbols)
    url = f"{market.ws_url}/stream?streams={streams}"
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.producer", "--plain", url, servers, topic, str(port)]
    )


def _plain_loop(url: str, servers: str, topic: str, port: int) -> None:
    """What tutorials show; added are only the counters, every hundredth message for latency."""
    from kafka import KafkaProducer  # type: ignore[import-untyped]  # it carries no types
    from prometheus_client import Counter, Histogram, start_http_server
    from websocket import WebSocketApp

    count = Counter("producer_trades", "acknowledged", ["exchange", "source"]).labels("binance", "ws")
    latency = Histogram("producer_delivery_seconds", "latency", ["exchange"], buckets=BUCKETS_S).labels("binance")
    start_http_server(port, "127.0.0.1")
    kafka = KafkaProducer(
        bootstrap_servers=servers, value_serializer=None, acks="all", compression_type="zstd", linger_ms=10
    )
    received = 0

    def acknowledged(received_at: float, _: object) -> None:
        count.inc(100)
        latency.observe(time.time() - received_at)

    def on_message(_: WebSocketApp, message: str) -> None:
        nonlocal received
        at = time.time()
        received += 1
        trade = json.loads(message)["data"]
        future = kafka.send(topic, key=trade["s"].encode(), value=json.dumps(trade).encode())
        if received % 100 == 0:
            future.add_callback(acknowledged, at)

    app = WebSocketApp(url, on_message=on_message)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=app.run_forever, daemon=True).start()
    threading.Event().wait()


def _read(port: int) -> Reading | None:
    try:
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text.splitlines()
    except httpx.TransportError:
        return None
    trades, delivery = 0.0, {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if name.startswith("producer_trades_total{"):
            trades += float(value)
        elif name.startswith("producer_delivery_seconds_bucket{"):
            delivery[float(name.split('le="')[1].split('"')[0])] = float(value)
    return Reading(trades, delivery)


def _quantile(delivery: dict[float, float], part: float) -> float:
    """Linear within a bucket, as Prometheus' histogram_quantile."""
    wanted, low, below = part * delivery[float("inf")], 0.0, 0.0
    for bound, count in sorted(delivery.items()):
        if count >= wanted:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / max(1, count - below)
        low, below = bound, count
    raise AssertionError("the last bucket holds all")


def _symbols(market: Simulator) -> list[str]:
    listed = httpx.get(f"{market.url}/api/v3/exchangeInfo", timeout=10).json()["symbols"]
    return [f"{symbol['baseAsset']}-{symbol['quoteAsset']}" for symbol in listed]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=20_000, help="trades a second that the exchange sends")
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each candidate is measured")
    results.add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        _plain_loop(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        main()
