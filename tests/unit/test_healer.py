"""Holes are found by ids, fetched over REST, and left to the monitor where REST cannot help."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

import pytest

from producer.healer import Healer
from producer.history import HistoryError
from producer.metrics import Metrics
from producer.trade import Trade


def trade(trade_id: int, prev: int | None = None, symbol: str = "BTC-USDT", exchange: str = "binance") -> Trade:
    if exchange == "binance":
        prev = trade_id - 1
    return Trade(exchange, symbol, trade_id, prev, Decimal(1), Decimal(2), "buy", 10**15, 10**15, "rest")


class Rest:
    """An exchange's past: which ids it has, and how often it was asked."""

    def __init__(self, exchange: str, ids: Sequence[int], page: int = 1000) -> None:
        self.exchange, self.ids, self.page = exchange, list(ids), page
        self.calls: list[tuple[int, int]] = []
        self.failures: list[HistoryError] = []

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]:
        self.calls.append((first_id, last_id))
        if self.failures:
            raise self.failures.pop()
        ids = [i for i in self.ids if first_id <= i <= last_id]
        for start in range(0, len(ids), self.page):
            yield [trade(i, symbol=symbol) for i in ids[start : start + self.page]]

    def recent_trades(self, symbol: str) -> list[Trade]:
        self.calls.append((0, 0))
        ids = self.ids[-self.page :]
        return [trade(i, prev, symbol, "kucoin") for prev, i in zip([None, *ids[:-1]], ids, strict=True)]


class Sink:
    def __init__(self) -> None:
        self.trades: list[Trade] = []
        self.lock = threading.Lock()

    def __call__(self, trades: Sequence[Trade]) -> None:
        with self.lock:
            self.trades += trades

    def ids(self, symbol: str = "BTC-USDT") -> list[int]:
        return [trade.trade_id for trade in self.trades if trade.symbol == symbol]


def until(condition: Callable[[], object], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def counted(metrics: Metrics, name: str, exchange: str) -> float:
    return metrics.registry.get_sample_value(f"producer_{name}", {"exchange": exchange}) or 0.0


def healer_of(rest: Rest, attempts: int = 6, max_trades: int = 100_000) -> tuple[Healer, Sink, Metrics]:
    sink, metrics = Sink(), Metrics()
    healer = Healer(
        rest.exchange, rest, sink, metrics,
        page=rest.page, settle_s=0.01, attempts=attempts, retry_s=0.05, max_trades=max_trades,
    )  # fmt: skip
    return healer, sink, metrics


@pytest.fixture
def stop() -> Iterator[Callable[[Healer], Healer]]:
    started: list[Healer] = []

    def start(healer: Healer) -> Healer:
        started.append(healer)
        healer.start()
        return healer

    yield start
    for healer in started:
        healer.stop()


def test_a_stream_without_holes_asks_for_nothing() -> None:
    rest = Rest("binance", range(100))
    healer, _, metrics = healer_of(rest)
    healer.watch([trade(i) for i in (5, 6, 7, 8)])
    healer.watch([trade(i, symbol="ETH-USDT") for i in (1, 2)])
    assert healer.holes() == {}
    assert healer.tops() == {"BTC-USDT": 8, "ETH-USDT": 2}
    assert counted(metrics, "holes_total", "binance") == 0


def test_duplicates_and_the_past_make_no_hole() -> None:
    healer, _, _ = healer_of(Rest("binance", []))
    healer.watch([trade(i) for i in (5, 6, 6, 3, 5, 7)])
    assert healer.holes() == {}
    assert healer.tops() == {"BTC-USDT": 7}


def test_disorder_closes_a_hole_by_itself() -> None:
    healer, _, _ = healer_of(Rest("binance", []))
    healer.watch([trade(i) for i in (5, 10)])
    assert healer.holes() == {"BTC-USDT": [(6, 9)]}
    healer.watch([trade(8)])
    assert healer.holes() == {"BTC-USDT": [(6, 7), (9, 9)]}
    healer.watch([trade(i) for i in (9, 7, 6)])
    assert healer.holes() == {}


def test_what_was_missed_in_a_reconnect_is_published_whole_and_once(stop: Callable[[Healer], Healer]) -> None:
    healer, sink, metrics = healer_of(Rest("binance", range(20_000)))
    stop(healer)
    healer.watch([trade(99)])
    healer.interrupted(["BTC-USDT"])
    healer.watch([trade(10_100)])
    until(lambda: not healer.holes())
    assert sink.ids() == list(range(100, 10_100))
    assert {trade.source for trade in sink.trades} == {"rest"}
    assert counted(metrics, "holes_total", "binance") == 1
    assert counted(metrics, "healed_trades_total", "binance") == 10_000
    assert counted(metrics, "open_holes", "binance") == 0


def test_a_long_hole_inside_a_connection_is_left_to_the_monitor_who_tells_people(
    stop: Callable[[Healer], Healer],
) -> None:
    healer, sink, metrics = healer_of(Rest("binance", range(20_000)))
    stop(healer)
    healer.interrupted(["BTC-USDT"])
    healer.watch([trade(99), trade(100), trade(202)])  # what came first after the interruption left nothing out
    assert (counted(metrics, "holes_left_total", "binance"), healer.holes()) == (1, {})
    healer.watch([trade(303)])  # 100 are not long
    until(lambda: not healer.holes())
    assert sink.ids() == list(range(203, 303))


def test_small_holes_near_each_other_are_fetched_in_one_call(stop: Callable[[Healer], Healer]) -> None:
    rest = Rest("binance", range(10_000))
    healer, sink, _ = healer_of(rest)
    healer.watch([trade(i) for i in range(0, 1000, 2)])
    stop(healer)
    until(lambda: not healer.holes())
    assert sink.ids() == list(range(1, 998, 2))
    assert rest.calls == [(1, 997)]


def test_a_hole_of_which_rest_lags_is_asked_for_again(stop: Callable[[Healer], Healer]) -> None:
    rest = Rest("binance", range(15))
    healer, sink, metrics = healer_of(rest)
    stop(healer)
    healer.watch([trade(9), trade(20)])
    until(lambda: healer.holes() == {"BTC-USDT": [(15, 19)]})
    rest.ids = list(range(21))
    until(lambda: not healer.holes())
    assert sink.ids() == list(range(10, 20))
    assert counted(metrics, "holes_left_total", "binance") == 0


def test_what_rest_never_gives_is_left_to_the_monitor(stop: Callable[[Healer], Healer]) -> None:
    rest = Rest("binance", [10, 11, 13])
    rest.failures = [HistoryError("binance: HTTP 500")]
    healer, sink, metrics = healer_of(rest, attempts=3)
    stop(healer)
    healer.watch([trade(9), trade(14)])
    until(lambda: counted(metrics, "holes_left_total", "binance"))
    assert healer.holes() == {}
    assert sink.ids() == [10, 11, 13]
    assert rest.calls == [(10, 13), (10, 13), (12, 12)]
    assert counted(metrics, "open_holes", "binance") == 0


def test_a_hole_too_long_for_the_weight_is_left_at_once() -> None:
    rest = Rest("binance", [])
    healer, _, metrics = healer_of(rest, max_trades=1000)
    healer.watch([trade(0), trade(1002), trade(3000)])
    assert healer.holes() == {}
    assert counted(metrics, "holes_left_total", "binance") == 2


def test_memory_is_bounded_however_many_holes_there_are() -> None:
    healer, _, metrics = healer_of(Rest("binance", []))
    healer.watch([trade(i) for i in range(0, 10_000, 2)])
    assert len(healer.holes()["BTC-USDT"]) == 1000
    assert counted(metrics, "holes_total", "binance") == 4999
    assert counted(metrics, "holes_left_total", "binance") == 3999


def test_an_id_too_high_to_be_true_blinds_nothing() -> None:
    healer, _, _ = healer_of(Rest("binance", []))
    healer.watch([trade(5), trade(2 * 10**9), trade(6), trade(8)])
    assert healer.holes() == {"BTC-USDT": [(7, 7)]}
    assert healer.tops() == {"BTC-USDT": 8}


def test_several_symbols_are_healed_at_once(stop: Callable[[Healer], Healer]) -> None:
    healer, sink, _ = healer_of(Rest("binance", range(100)))
    symbols = [f"S{number}-USDT" for number in range(50)]
    for symbol in symbols:
        healer.watch([trade(10, symbol=symbol), trade(20, symbol=symbol)])
    stop(healer)
    until(lambda: not healer.holes())
    assert all(sink.ids(symbol) == list(range(11, 20)) for symbol in symbols)


def kucoin(trade_id: int, prev: int | None) -> Trade:
    return trade(trade_id, prev, exchange="kucoin")


def test_where_ids_step_a_hole_is_what_no_connection_attests(stop: Callable[[Healer], Healer]) -> None:
    healer, sink, _ = healer_of(Rest("kucoin", [3, 10, 14, 30, 33, 70], page=100))
    healer.watch([kucoin(3, None), kucoin(10, 3)])
    assert healer.holes() == {}
    healer.watch([kucoin(70, None)])  # the first one of the next connection
    assert healer.holes() == {"BTC-USDT": [(11, 69)]}
    stop(healer)
    until(lambda: not healer.holes())
    # the last attests that nothing lies between 33 and 70
    assert [(trade.trade_id, trade.prev_trade_id) for trade in sink.trades] == [
        (14, 10), (30, 14), (33, 30), (70, 33)
    ]  # fmt: skip


def test_what_the_last_hundred_trades_do_not_reach_is_left_to_the_monitor(
    stop: Callable[[Healer], Healer],
) -> None:
    rest = Rest("kucoin", range(0, 5000, 10), page=100)
    healer, sink, metrics = healer_of(rest)
    stop(healer)
    healer.watch([kucoin(1000, None), kucoin(4990, None)])
    until(lambda: counted(metrics, "holes_left_total", "kucoin"))
    assert sink.ids() == list(range(4000, 5000, 10))
    assert healer.holes() == {}
    assert len(rest.calls) == 1


def test_the_old_connection_may_still_attest_what_the_new_one_could_not() -> None:
    healer, _, _ = healer_of(Rest("kucoin", []))
    healer.watch([kucoin(3, None), kucoin(10, 3)])
    healer.watch([kucoin(30, None)])
    assert healer.holes() == {"BTC-USDT": [(11, 29)]}
    healer.watch([kucoin(14, 10), kucoin(30, 14)])
    assert healer.holes() == {}
