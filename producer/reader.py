"""What is done on one open connection: subscribe, read, ping, and notice when its time is over.

Three rules, each learnt from collectors that died quietly. Data proves that a connection lives: neither that it
opened nor that pings are answered does. The wait before a reconnect shrinks only when data came. And a connection
whose end is known, by its age or the server's word, is kept until its successor delivers.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from producer.connection import READ_TIMEOUT_S, Connection
from producer.exchanges.adapter import (
    Acknowledged,
    ClosingSoon,
    Event,
    Limits,
    Ready,
    Refused,
    Rejected,
    Session,
    Unknown,
)
from producer.pace import Pace
from producer.trade import Trade


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
class Line:
    """One connection's part in a feed. succeeded: the next one was started; retired: the next one delivers."""

    succeeded: bool = False
    retired: threading.Event = field(default_factory=threading.Event)


class Ended(Exception):
    """A connection has ended. cause: one of a few words, for the metrics."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(detail or cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where a reader's findings go.

    trades: in the order of the connection; while it blocks, nothing is read. odd_frame: a frame that is no trade.
    closing: this connection will end, for this reason; the next one should be started. took_over: the predecessor
    was retired.
    """

    trades: Callable[[list[Trade]], None]
    odd_frame: Callable[[Rejected | Unknown], None]
    closing: Callable[[str], None]
    took_over: Callable[[], None]


class Reader:
    """Reads one connection to its end.

    stale_after_s: without a trade for so long it has ended. predecessor: retired when this one delivers.
    carried: whether a trade came.
    """

    def __init__(
        self,
        connection: Connection,
        session: Session,
        limits: Limits,
        timing: Timing,
        outlets: Outlets,
        *,
        line: Line,
        predecessor: Line | None,
        stale_after_s: float,
        stopping: threading.Event,
    ) -> None:
        self._connection, self._session, self._timing, self._outlets = connection, session, timing, outlets
        self._line, self._predecessor = line, predecessor
        self._stale_after_s, self._stopping = stale_after_s, stopping
        self._messages = Pace(limits.messages)
        self._opened_at = self._data_at = self._pinged_at = time.monotonic()
        self._first_trade_at: float | None = None
        self._ready = False
        life_s = limits.life_s if timing.life_s is None else timing.life_s
        self._renew_at = self._opened_at + life_s * random.uniform(0.9, 0.97)

    @property
    def carried(self) -> bool:
        return self._first_trade_at is not None

    def read_on(self) -> None:
        """Reads until stopped or retired. Raises ConnectionLost, Ended."""
        session, read = self._session, self._connection.read
        self._control(session.on_open())
        looked_at = self._opened_at
        while not self._stopping.is_set() and not self._line.retired.is_set():
            frames = read()
            now = time.monotonic()
            if frames:
                received_at_us = time.time_ns() // 1000
                events = [event for frame in frames for event in session.read(frame, received_at_us)]
                trades = [event for event in events if type(event) is Trade]
                if trades:
                    self._outlets.trades(trades)
                    # what that took, because the broker was away, is not the connection's silence
                    now = self._data_at = time.monotonic()
                    self._first_trade_at = self._first_trade_at or now
                if len(trades) < len(events):
                    self._control([event for event in events if type(event) is not Trade])
            if now >= looked_at + READ_TIMEOUT_S or not frames:
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
                    self._outlets.closing("the server is about to close it")
                case Refused(reason):
                    raise Ended("refused", reason)
                case Rejected() | Unknown():
                    self._outlets.odd_frame(event)
                case Acknowledged() | Trade():
                    pass  # an acknowledgement proves nothing

    def _send(self, message: str) -> None:
        if self._messages.wait(self._stopping):
            self._connection.send(message)

    def _look(self, now: float) -> None:
        """What is due by the clock."""
        interval_s = self._session.ping_interval_s
        if self._ready and interval_s is not None and now >= self._pinged_at + interval_s:
            self._pinged_at = now
            self._send(self._session.ping())
        self._retire_predecessor(now)
        if now >= self._renew_at:
            self._outlets.closing("its age")
        if not self._ready and now > self._opened_at + self._timing.connect_timeout_s:
            raise Ended("refused", f"not ready for subscriptions after {now - self._opened_at:.0f} s")
        if now > self._data_at + self._stale_after_s:
            raise Ended("stale", f"no trade for {now - self._data_at:.0f} s")

    def _retire_predecessor(self, now: float) -> None:
        if self._predecessor is None or self._predecessor.retired.is_set():
            return
        delivers = self._first_trade_at is not None and now >= self._first_trade_at + self._timing.overlap_s
        if delivers or now >= self._opened_at + self._timing.overlap_max_s:
            self._predecessor.retired.set()
            self._outlets.took_over()
