"""How fast an exchange's past is read over REST, beside what the weight limit of one address lets through.

    python -m benchmarks.history [--keep]

Reads candles, and trades by id, from the exchange simulator on this machine, which counts the weight as the
exchange does and answers at once; so much of one window's weight is spent that no call has to wait.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from benchmarks import results
from local.exchange.launch import simulator
from producer.exchanges.adapter import Adapter, adapter_of
from producer.history import History

_MINUTE_US = 60_000_000
_SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT")
_TRADES_PER_S = 20  # of all symbols
_SPENT = 0.8  # of a window's weight, and some for finding where a symbol begins


@dataclass(frozen=True)
class Read:
    """What was read of an exchange's past, and at what pace.

    rows_per_s: candles or trades. rows_a_bar: how many make a bar here. limit_rows_per_s: at most so many come
    through the weight limit of one address.
    """

    exchange: str
    what: str
    rows_per_s: float
    rows_a_bar: float
    limit_rows_per_s: float


@dataclass(frozen=True)
class Past:
    """A past of so many minutes, with so many trades a second in all, and how it is read.

    weight: of a call. rows: of a full page. pages: of a symbol from a time on; each as the number of its rows.
    """

    exchange: str
    what: str
    minutes: int
    trades_per_s: float
    rows_a_bar: float
    weight: int
    rows: int
    pages: Callable[[History, str, int], Iterator[int]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    results.add_option(parser)
    options = parser.parse_args()
    measured = []
    for past in (_candles("binance"), _candles("kucoin"), _trades("binance")):
        with tempfile.TemporaryDirectory() as folder:
            one = _measure(past, Path(folder))
        measured.append(one)
        print(
            f"{one.exchange}, {one.what}, {one.rows_a_bar:g} a bar: {one.rows_per_s:,.0f} a second; "
            f"the weight limit lets {one.limit_rows_per_s:,.0f} a second through",
            flush=True,
        )
    results.keep(options, "history", {"symbols": len(_SYMBOLS)}, measured)


def _candles(exchange: str) -> Past:
    adapter = adapter_of(exchange)
    rows = adapter.CANDLES_PER_PAGE

    def pages(history: History, symbol: str, from_us: int) -> Iterator[int]:
        yield len(history.candles(symbol, from_us, from_us + rows * _MINUTE_US))

    weight = adapter.candles_request(_SYMBOLS[0], 0, _MINUTE_US).weight
    return Past(exchange, "candles", rows + 1, 1, 1, weight, rows, pages)


def _trades(exchange: str) -> Past:
    adapter = adapter_of(exchange)

    def pages(history: History, symbol: str, from_us: int) -> Iterator[int]:
        first = history.first_id(symbol, from_us)
        assert first is not None
        for page in history.trades(symbol, first, first + 10 * adapter.TRADES_PER_PAGE - 1):
            yield len(page)

    request = adapter.trades_request(_SYMBOLS[0], 1)
    assert request is not None
    a_bar = _TRADES_PER_S / len(_SYMBOLS) * 60
    return Past(exchange, "trades by id", 60, _TRADES_PER_S, a_bar, request.weight, adapter.TRADES_PER_PAGE, pages)


def _measure(past: Past, folder: Path) -> Read:
    adapter: Adapter = adapter_of(past.exchange)
    limit = adapter.LIMITS.weight
    calls = int(limit.count * _SPENT / past.weight)
    symbols = ",".join(f"{past.exchange}:{symbol}" for symbol in _SYMBOLS)
    with (
        simulator(folder, symbols=symbols, rate=past.trades_per_s, past_minutes=past.minutes) as market,
        History(past.exchange, market.url, weight_share=1.0) as history,
    ):
        from_us = (history.now_us() // _MINUTE_US - past.minutes + 1) * _MINUTE_US
        began, rows = time.monotonic(), 0
        pages = (page for symbol in cycle(_SYMBOLS) for page in past.pages(history, symbol, from_us))
        for found in islice(pages, calls):
            rows += found
        took_s = time.monotonic() - began
    allowed = limit.count / limit.per_s / past.weight * past.rows
    return Read(past.exchange, past.what, rows / took_s, past.rows_a_bar, allowed)


if __name__ == "__main__":
    main()
