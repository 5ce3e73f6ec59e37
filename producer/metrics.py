"""What can be seen of a running producer: Prometheus metrics, and whether its data is fresh.

`/metrics` and `/healthz` are served on one port. `/healthz` answers 503 when an exchange has had no trade
acknowledged by the broker for too long, so a container's health check needs nothing else.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from http.server import ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, MetricsHandler

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The counters of one producer. Incremented a batch at a time, never for each trade."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.trades = Counter(
            "producer_trades", "Trades that the broker acknowledged", ["exchange", "source"], registry=registry
        )
        self.lag = Histogram(
            "producer_lag_seconds",
            "From the exchange's time of a trade to the broker's acknowledgement, of one trade a batch",
            ["exchange"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self.delivery = Histogram(
            "producer_delivery_seconds",
            "From the receipt of a trade to the broker's acknowledgement, of one trade a batch",
            ["exchange"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self.connections = Gauge(
            "producer_connections", "Open WebSocket connections", ["exchange"], registry=registry
        )
        self.reconnects = Counter(
            "producer_reconnects", "Connections that ended, by cause", ["exchange", "cause"], registry=registry
        )
        self.rejected_frames = Counter(
            "producer_rejected_frames",
            "Frames that should be a trade and are none",
            ["exchange"],
            registry=registry,
        )
        self.unknown_frames = Counter(
            "producer_unknown_frames", "Frames that the adapter does not know", ["exchange"], registry=registry
        )
        self.holes = Counter("producer_holes", "Holes seen in the trade ids", ["exchange"], registry=registry)
        self.open_holes = Gauge(
            "producer_open_holes", "Holes being fetched over REST", ["exchange"], registry=registry
        )
        self.healed_trades = Counter(
            "producer_healed_trades", "Trades fetched over REST into holes", ["exchange"], registry=registry
        )
        self.holes_left = Counter(
            "producer_holes_left",
            "Holes that REST could not fill, left to the monitor",
            ["exchange"],
            registry=registry,
        )
        self.silent_symbols = Gauge(
            "producer_silent_symbols", "Symbols without a trade for long", ["exchange"], registry=registry
        )
        self.buffer_bytes = Gauge(
            "producer_buffer_bytes", "Memory of trades not yet acknowledged", registry=registry
        )
        self.buffer_fill = Gauge(
            "producer_buffer_fill_ratio",
            "The same, as a part of the bound at which reading stops",
            registry=registry,
        )
        self.kafka_producers = Counter(
            "producer_kafka_producers", "Kafka producers made anew after a failure", registry=registry
        )


class Health:
    """How fresh each exchange's data is, by the broker's acknowledgements.

    stale_after_s: an exchange without one for so long is stale. clock: seconds, monotonic.
    """

    def __init__(
        self, exchanges: Iterable[str], stale_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stale_after_s = stale_after_s
        self._clock = clock
        self._last = dict.fromkeys(exchanges, clock())

    def acknowledged(self, exchange: str) -> None:
        """The broker has taken trades of this exchange."""
        self._last[exchange] = self._clock()

    def judge(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is fresh, and how old the newest acknowledged trade of each exchange is."""
        now = self._clock()
        ages_s = {exchange: now - last for exchange, last in self._last.items()}
        stale = sorted(exchange for exchange, age_s in ages_s.items() if age_s > self._stale_after_s)
        return not stale, {
            "status": "stale" if stale else "fresh",
            "stale": stale,
            "stale_after_s": self._stale_after_s,
            "age_s": {exchange: round(age_s, 1) for exchange, age_s in sorted(ages_s.items())},
        }


def serve(metrics: Metrics, health: Health, host: str, port: int) -> ThreadingHTTPServer:
    """Serves `/metrics` and `/healthz` from a thread. Raises OSError naming the variable if the port is taken."""

    class Handler(MetricsHandler):
        registry = metrics.registry

        def do_GET(self) -> None:  # noqa: N802  # http.server finds it by this name
            if self.path.split("?")[0] != "/healthz":
                super().do_GET()
                return
            fresh, state = health.judge()
            body = json.dumps(state).encode()
            self.send_response(200 if fresh else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise OSError(f"metrics cannot listen on {host}:{port} ({error.strerror}): set METRICS_PORT") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
