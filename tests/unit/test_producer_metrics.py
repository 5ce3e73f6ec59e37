"""What a running producer shows of itself."""

import http.client
import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from producer.metrics import Health, Metrics, serve


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


CLOCK = Clock()


@pytest.fixture
def server() -> Iterator[tuple[ThreadingHTTPServer, Health, Metrics]]:
    CLOCK.now_s = 1000.0
    metrics, health = Metrics(), Health(["binance", "kucoin"], 60, CLOCK)
    server = serve(metrics, health, "127.0.0.1", 0)
    yield server, health, metrics
    server.shutdown()
    server.server_close()


def get(server: ThreadingHTTPServer, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_an_exchange_without_acknowledged_trades_is_unhealthy(
    server: tuple[ThreadingHTTPServer, Health, Metrics],
) -> None:
    web, health, _ = server
    CLOCK.now_s += 50
    health.acknowledged("binance")
    CLOCK.now_s += 11
    status, body = get(web, "/healthz")
    assert status == 503
    assert json.loads(body) == {
        "status": "stale",
        "stale": ["kucoin"],
        "stale_after_s": 60,
        "age_s": {"binance": 11.0, "kucoin": 61.0},
    }
    health.acknowledged("kucoin")
    status, body = get(web, "/healthz")
    assert (status, json.loads(body)["status"]) == (200, "fresh")


def test_metrics_are_served_to_prometheus(server: tuple[ThreadingHTTPServer, Health, Metrics]) -> None:
    web, _, metrics = server
    metrics.trades.labels("binance", "ws").inc(3)
    status, body = get(web, "/metrics")
    assert status == 200
    assert 'producer_trades_total{exchange="binance",source="ws"} 3.0' in body.splitlines()


def test_a_taken_port_names_the_variable(server: tuple[ThreadingHTTPServer, Health, Metrics]) -> None:
    web, health, metrics = server
    port = int(web.server_address[1])
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port} .*METRICS_PORT"):
        serve(metrics, health, "127.0.0.1", port)
