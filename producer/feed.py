"""The trades of a group of symbols, from connection to connection without a seam where that is possible.

Three rules, each learnt from collectors that died quietly. Data proves that a connection lives: neither that it
opened nor that pings are answered does. The wait before a reconnect shrinks only when data came. And a connection
whose end is known, by its age or the server's word, is kept until its successor delivers.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from producer.connection import Connection, ConnectionLost, connect
from producer.exchanges.adapter import (
    Acknowledged,
    Adapter,
    ClosingSoon,
    Event,
    Ready,
    Refused,
    Rejected,
    Session,
    Unknown,
)
from producer.history import HistoryError
from producer.metrics import Metrics
from producer.pace import Backoff, Pace
from producer.publisher import PublisherClosed
from producer.trade import Trade

_READ_TIMEOUT_S = 0.5  # how soon a silent connection notices that it has something else to do
_ODD_FRAMES_LOG_S = 10.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timing:
    """When a feed does what, in seconds.

    stale_after_s: without a trade for so long a connection is renewed; twice as long after each one in a row that
    carried no trade at all, up to stale_max_s, so that quiet symbols do not reconnect without end.
    backoff_first_s, backoff_max_s: the ceiling of the random wait before a reconnect, first and at most.
    life_s: how old a connection may get; None for the exchange's limit. It is renewed up to a tenth earlier, at a
    random moment, so that connections opened together do not end together.
    overlap_s: how long the old connection is kept after the new one's first trade; overlap_max_s: and without one.
    """

    stale_after_s: float = 60.0
    stale_max_s: float = 1800.0
    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0
    connect_timeout_s: float = 10.0
    life_s: float | None = None
    overlap_s: float = 2.0
    overlap_max_s: float = 60.0


@dataclass(slots=True)
class _Line:
    """One connection's part in a feed: has it a successor, and may it end?"""

    succeeded: bool = False
    retired: threading.Event = field(default_factory=threading.Event)


class _Ended(Exception):
    """A connection has ended. cause: one of a few words, for the metrics."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(detail or cause)
        self.cause = cause


class Feed:
    """Keeps one group of symbols of one exchange streaming.

    base_url: the WebSocket server, None where the ticket names it. ticket: fetches what must precede each connect.
    deliver: takes the trades in the order of the connection; while it blocks, nothing is read. connects: shared by
    all feeds of the exchange.
    """

    def __init__(
        self,
        exchange: str,
        adapter: Adapter,
        symbols: Sequence[str],
        *,
        base_url: str | None,
        ticket: Callable[[], Any],
        deliver: Callable[[list[Trade]], None],
        connects: Pace,
        metrics: Metrics,
        timing: Timing,
        name: str = "0",
    ) -> None:
        self._exchange, self._adapter, self._symbols = exchange, adapter, list(symbols)
        self._base_url, self._ticket, self._deliver = base_url, ticket, deliver
        self._connects, self._metrics, self._timing = connects, metrics, timing
        self._name = f"{exchange}-{name}"
        self._log = log.bind(feed=self._name)
        self._stopping = threading.Event()
        self._backoff = Backoff(timing.backoff_first_s, timing.backoff_max_s)
        self._barren = 0  # connections in a row that carried no trade
        self._serial = 0
        self._odd_frames: Counter[str] = Counter()
        self._odd_frames_told_at = float("-inf")
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts streaming."""
        self._spawn(None)

    def stop(self) -> None:
        """Asks to stop reading."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        """Waits until nothing is read any more."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _spawn(self, predecessor: _Line | None) -> None:
        self._serial += 1
        thread = threading.Thread(
            target=self._run, args=(predecessor,), name=f"feed-{self._name}-{self._serial}", daemon=True
        )
        self._threads = [old for old in self._threads if old.is_alive()] + [thread]
        thread.start()

    def _run(self, predecessor: _Line | None) -> None:
        """Connection after connection, until stopped or until a successor has taken over."""
        while not self._stopping.is_set():
            line = _Line()
            try:
                self._live(line, predecessor)
            except _Ended as end:
                self._metrics.reconnects.labels(self._exchange, end.cause).inc()
                reason = str(end)
            except PublisherClosed:
                return
            if line.succeeded or self._stopping.is_set():
                return
            wait_s = self._backoff.next_s()
            self._log.warning("connection ended", reason=reason, reconnect_in_s=round(wait_s, 2))
            self._stopping.wait(wait_s)

    def _live(self, line: _Line, predecessor: _Line | None) -> None:
        """One connection, from the ticket to its end. Raises _Ended, or returns when it should not be replaced."""
        if not self._connects.wait(self._stopping):
            return
        connection = self._open()
        gauge = self._metrics.connections.labels(self._exchange)
        gauge.inc()
        self._log.info("connected", symbols=len(self._symbols))
        with connection:
            try:
                _Reader(self, connection, line, predecessor).read_on()
            except ConnectionLost as lost:
                raise _Ended("lost", str(lost)) from lost
            finally:
                gauge.dec()

    def _open(self) -> Connection:
        try:
            url = self._adapter.websocket_url(
                self._base_url, self._ticket(), self._symbols, f"{self._name}-{time.time_ns()}"
            )
        except (HistoryError, ValueError) as error:
            raise _Ended("ticket", str(error)) from error
        try:
            return connect(url, self._timing.connect_timeout_s, _READ_TIMEOUT_S)
        except ConnectionLost as lost:
            raise _Ended("connect", str(lost)) from lost

    def _delivered(self, trades: list[Trade]) -> None:
        self._backoff.reset()
        self._barren = 0
        self._deliver(trades)

    def _note_odd_frame(self, event: Rejected | Unknown) -> None:
        """Counts a frame that is no trade; an example is logged now and then, however many there are."""
        if isinstance(event, Rejected):
            kind, what = "rejected", event.reason
            self._metrics.rejected_frames.labels(self._exchange).inc()
        else:
            kind, what = "unknown", event.what
            self._metrics.unknown_frames.labels(self._exchange).inc()
        self._odd_frames[kind] += 1
        if time.monotonic() > self._odd_frames_told_at + _ODD_FRAMES_LOG_S:
            self._odd_frames_told_at = time.monotonic()
            self._log.warning("frames not understood", **self._odd_frames, example=what)
            self._odd_frames.clear()


class _Reader:
    """What a feed does on one open connection."""

    def __init__(self, feed: Feed, connection: Connection, line: _Line, predecessor: _Line | None) -> None:
        self._feed, self._timing = feed, feed._timing
        self._connection, self._line, self._predecessor = connection, line, predecessor
        self._session: Session = feed._adapter.session(feed._symbols)
        self._messages = Pace(feed._adapter.LIMITS.messages)
        self._opened_at = self._data_at = time.monotonic()
        self._carried = False
        self._first_trade_at: float | None = None
        self._pinged_at = self._opened_at
        self._ready = False
        life_s = feed._adapter.LIMITS.life_s if self._timing.life_s is None else self._timing.life_s
        self._renew_at = self._opened_at + life_s * random.uniform(0.9, 0.97)
        self._stale_after_s = min(
            self._timing.stale_max_s, self._timing.stale_after_s * 2.0 ** min(feed._barren, 30)
        )

    def read_on(self) -> None:
        """Reads until the feed stops or this connection is retired. Raises ConnectionLost, _Ended."""
        feed, session, read = self._feed, self._session, self._connection.read
        self._control(session.on_open())
        looked_at = self._opened_at
        while not feed._stopping.is_set() and not self._line.retired.is_set():
            frames = read()
            now = time.monotonic()
            if frames:
                received_at_us = time.time_ns() // 1000
                events = [event for frame in frames for event in session.read(frame, received_at_us)]
                trades = [event for event in events if type(event) is Trade]
                if trades:
                    feed._delivered(trades)
                    # what deliver took, because the broker was away, is not the connection's silence
                    now = self._data_at = time.monotonic()
                    self._carried = True
                    self._first_trade_at = self._first_trade_at or now
                if len(trades) < len(events):
                    self._control([event for event in events if type(event) is not Trade])
            if now >= looked_at + _READ_TIMEOUT_S or not frames:
                looked_at = now
                self._look(now)

    def _control(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Ready():
                    self._ready = True
                    for message in self._session.subscribe():
                        self._send(message)
                case ClosingSoon():
                    self._hand_over("the server is about to close")
                case Refused(reason):
                    raise _Ended("refused", reason)
                case Rejected() | Unknown():
                    self._feed._note_odd_frame(event)
                case Acknowledged() | Trade():
                    pass  # an acknowledgement proves nothing

    def _send(self, message: str) -> None:
        if self._messages.wait(self._feed._stopping):
            self._connection.send(message)

    def _look(self, now: float) -> None:
        """What is due by the clock."""
        interval_s = self._session.ping_interval_s
        if self._ready and interval_s is not None and now >= self._pinged_at + interval_s:
            self._pinged_at = now
            self._send(self._session.ping())
        self._retire_predecessor(now)
        if now >= self._renew_at:
            self._hand_over("its age")
        if not self._ready and now > self._opened_at + self._timing.connect_timeout_s:
            raise _Ended("refused", f"not ready for subscriptions after {now - self._opened_at:.0f} s")
        if now > self._data_at + self._stale_after_s:
            if not self._carried:
                self._feed._barren += 1
            raise _Ended("stale", f"no trade for {now - self._data_at:.0f} s")

    def _retire_predecessor(self, now: float) -> None:
        if self._predecessor is None or self._predecessor.retired.is_set():
            return
        delivers = self._first_trade_at is not None and now >= self._first_trade_at + self._timing.overlap_s
        if delivers or now >= self._opened_at + self._timing.overlap_max_s:
            self._feed._log.info("new connection took over")
            self._predecessor.retired.set()

    def _hand_over(self, why: str) -> None:
        """Starts the successor, once; this connection is read on until it delivers."""
        if not self._line.succeeded:
            self._line.succeeded = True
            self._feed._metrics.reconnects.labels(self._feed._exchange, "renewed").inc()
            self._feed._log.info("opening the next connection", reason=why)
            self._feed._spawn(self._line)
