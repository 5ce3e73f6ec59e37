"""Holes in what a feed delivered, found by trade ids and filled over REST in the background.

Every trade accounts for a range of ids (see `Trade`). Where the next one leaves ids out, after a reconnect or
inside a connection, there is a hole. On an exchange with consecutive ids it is fetched by id; elsewhere the newest
trades are all that REST gives, and they fill it as far as they reach back. What stays open is the monitor's: the
ids that Postgres has not seen say so on their own. So is a long hole inside a connection. An exchange that drops
many trades in silence is an incident, and of what is mended here nobody is told.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from producer.exchanges import EXCHANGES
from producer.history import HistoryError
from producer.holes import Hole, filling, ids_of, spans, without
from producer.metrics import Metrics
from producer.publisher import PublisherClosed
from producer.trade import Trade

_MAX_JUMP = 1_000_000_000  # a higher id is bogus: the Spark job refuses it too
_MAX_HOLES = 1_000  # of a symbol that are remembered

log = structlog.get_logger()


class Past(Protocol):
    """What the healer needs of `producer.history.History`."""

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]: ...

    def recent_trades(self, symbol: str) -> list[Trade]: ...


class Healer:
    """Watches one exchange's trades and fills the holes.

    publish: where fetched trades go; it may block. page: how many trades one REST call gives; holes less than that
    apart are fetched together. workers: how many symbols are healed at once. settle_s: how long a hole is left
    alone, since disorder or another connection may fill it. attempts: how often it is asked for; retry_s,
    times the number of attempts: how long to wait in between, since REST may lag behind the stream.
    max_trades: a longer hole, on an exchange with consecutive ids, would take the REST weight of minutes, and is
    left to the monitor at once. max_silent_trades: the same for a hole that no interruption explains.
    """

    def __init__(
        self,
        exchange: str,
        past: Past,
        publish: Callable[[Sequence[Trade]], None],
        metrics: Metrics,
        *,
        page: int,
        workers: int = 2,
        settle_s: float = 0.5,
        attempts: int = 6,
        retry_s: float = 2.0,
        max_trades: int = 100_000,
        max_silent_trades: int = 100,
    ) -> None:
        self._exchange = exchange
        self._consecutive = EXCHANGES[exchange].consecutive_ids
        self._past, self._publish, self._metrics = past, publish, metrics
        self._page, self._max_trades, self._max_silent_trades = page, max_trades, max_silent_trades
        self._settle_s, self._attempts, self._retry_s = settle_s, attempts, retry_s
        self._changed = threading.Condition()
        self._tops: dict[str, int] = {}
        self._interrupted: set[str] = set()  # their next trade may leave ids out
        self._holes: dict[str, list[Hole]] = {}  # ascending, and no symbol without any
        self._busy: set[str] = set()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{exchange}-healer-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Starts to fill holes."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stops after the REST call under way. What is open then is the monitor's."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def interrupted(self, symbols: Iterable[str]) -> None:
        """Takes note that a connection of these symbols ended: what their next trades leave out, it missed."""
        with self._changed:
            self._interrupted.update(symbols)

    def watch(self, trades: Iterable[Trade]) -> None:
        """Takes note of delivered trades, in their order on the connection."""
        with self._changed:
            tops = self._tops
            for trade in trades:
                symbol, last_id = trade.symbol, trade.trade_id
                first_id = last_id if trade.prev_trade_id is None else trade.prev_trade_id + 1
                top = tops.get(symbol)
                if top is None or first_id == top + 1:
                    tops[symbol] = last_id
                else:
                    self._out_of_turn(symbol, first_id, last_id, top)
                if self._interrupted:
                    self._interrupted.discard(symbol)

    def tops(self) -> dict[str, int]:
        """The highest trade id of each symbol that had a trade."""
        with self._changed:
            return dict(self._tops)

    def holes(self) -> dict[str, list[tuple[int, int]]]:
        """The ids not yet given up, first and last of each hole."""
        with self._changed:
            return {
                symbol: [(hole.first_id, hole.last_id) for hole in holes] for symbol, holes in self._holes.items()
            }

    def _out_of_turn(self, symbol: str, first_id: int, last_id: int, top: int) -> None:
        if first_id > top + _MAX_JUMP:
            log.warning(
                "trade id too high to be true", exchange=self._exchange, symbol=symbol, trade_id=last_id, top=top
            )
            return
        if first_id > top + 1:
            self._found(symbol, top + 1, first_id - 1)
        elif symbol in self._holes:
            self._fill(symbol, [(first_id, last_id)])
        self._tops[symbol] = max(top, last_id)

    def _found(self, symbol: str, first_id: int, last_id: int) -> None:
        self._metrics.holes.labels(self._exchange).inc()
        hole = Hole(first_id, last_id, time.monotonic() + self._settle_s)
        explained = symbol in self._interrupted
        longest = self._max_trades if explained else self._max_silent_trades
        if self._consecutive and last_id - first_id >= longest:
            where = "" if explained else " and inside a connection"
            self._leave(symbol, [hole], f"longer than {longest} trades{where}")
            return
        if len(self._holes.get(symbol, ())) >= _MAX_HOLES:
            self._leave(symbol, [hole], f"more than {_MAX_HOLES} holes")
            return
        if symbol not in self._holes:  # one line until they are filled or left, however many there are
            log.info("hole found", exchange=self._exchange, symbol=symbol, first_id=first_id, last_id=last_id)
        self._set(symbol, [*self._holes.get(symbol, ()), hole])
        self._changed.notify()

    def _fill(self, symbol: str, accounted: Sequence[tuple[int, int]]) -> None:
        """Takes ids out of a symbol's holes."""
        holes = self._holes.get(symbol, [])
        for first_id, last_id in accounted:
            if holes and first_id <= holes[-1].last_id and last_id >= holes[0].first_id:
                holes = without(holes, first_id, last_id)
        if self._set(symbol, holes) and not holes:
            log.info("holes filled", exchange=self._exchange, symbol=symbol)

    def _set(self, symbol: str, holes: list[Hole]) -> bool:
        """Replaces a symbol's holes; whether that changed something."""
        before = self._holes.pop(symbol, [])
        if holes:
            self._holes[symbol] = holes
        self._metrics.open_holes.labels(self._exchange).inc(len(holes) - len(before))
        return holes != before

    def _run(self) -> None:
        while (symbol := self._take()) is not None:
            failure = "REST does not give these trades"
            try:
                self._heal(symbol)
            except HistoryError as error:
                failure = str(error)
            except PublisherClosed:
                return
            self._give_back(symbol, failure)

    def _take(self) -> str | None:
        """The symbol whose holes are due for longest; None when stopping."""
        with self._changed:
            while not self._stopping:
                due = {
                    symbol: min(hole.due_at for hole in holes)
                    for symbol, holes in self._holes.items()
                    if symbol not in self._busy
                }
                symbol = min(due, key=due.__getitem__, default=None)
                wait_s = None if symbol is None else due[symbol] - time.monotonic()
                if symbol is not None and wait_s is not None and wait_s <= 0:
                    self._busy.add(symbol)
                    return symbol
                self._changed.wait(wait_s)
            return None

    def _heal(self, symbol: str) -> None:
        # those found just now come along: one call for many costs no more weight
        soon = time.monotonic() + self._settle_s
        with self._changed:
            due = [hole for hole in self._holes.get(symbol, ()) if hole.due_at <= soon]
        for page in self._pages(symbol, due):
            with self._changed:
                missing = filling(page, self._holes.get(symbol, []))
            if missing:
                self._publish(missing)
                self._metrics.healed_trades.labels(self._exchange).inc(len(missing))
            with self._changed:
                self._fill(symbol, [ids_of(trade) for trade in missing])
                if symbol not in self._holes or self._stopping:
                    return
                if not self._consecutive and page:
                    self._give_up_below(symbol, page[0].trade_id, page[-1].trade_id)

    def _pages(self, symbol: str, holes: Sequence[Hole]) -> Iterator[list[Trade]]:
        if not self._consecutive:
            if holes:
                yield self._past.recent_trades(symbol)
            return
        for first_id, last_id in spans(holes, self._page):
            yield from self._past.trades(symbol, first_id, last_id)

    def _give_up_below(self, symbol: str, first_id: int, last_id: int) -> None:
        """Leaves what the newest trades, first_id to last_id, no longer reach: they only move away from it."""
        holes = self._holes.get(symbol, [])
        lost = [hole for hole in holes if hole.first_id < first_id and hole.last_id < last_id]
        if lost:
            self._set(symbol, [hole for hole in holes if hole not in lost])
            self._leave(symbol, lost, "older than the trades that REST gives")

    def _give_back(self, symbol: str, failure: str) -> None:
        now = time.monotonic()
        with self._changed:
            self._busy.discard(symbol)
            tried = [
                hole
                if hole.due_at > now
                else replace(hole, attempts=hole.attempts + 1, due_at=now + self._retry_s * (hole.attempts + 1))
                for hole in self._holes.get(symbol, [])
            ]
            lost = [hole for hole in tried if hole.attempts >= self._attempts]
            self._set(symbol, [hole for hole in tried if hole.attempts < self._attempts])
            if lost:
                self._leave(symbol, lost, failure)
            self._changed.notify()

    def _leave(self, symbol: str, holes: Sequence[Hole], why: str) -> None:
        self._metrics.holes_left.labels(self._exchange).inc(len(holes))
        log.warning(
            "holes left to the monitor",
            exchange=self._exchange,
            symbol=symbol,
            holes=len(holes),
            first_id=holes[0].first_id,
            last_id=holes[-1].last_id,
            reason=why,
        )
