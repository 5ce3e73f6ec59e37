"""The trades of a group of symbols, from connection to connection, without a seam where that is possible."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from producer.connection import Connection, ConnectionLost, connect
from producer.exchanges.adapter import Adapter, Rejected, Unknown
from producer.history import HistoryError
from producer.metrics import Metrics
from producer.pace import Backoff, Pace
from producer.publisher import PublisherClosed
from producer.reader import Ended, Line, Outlets, Reader, Timing
from producer.trade import Trade

_ODD_FRAMES_LOG_S = 10.0

log = structlog.get_logger()


class Feed:
    """Keeps one group of symbols of one exchange streaming.

    base_url: the WebSocket server, None where the ticket names it. ticket: fetches what must precede each connect.
    deliver: takes the trades in the order of the connection; while it blocks, nothing is read. interrupted: hears
    of each end of a connection, with its symbols. connects: shared by all feeds of the exchange.
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
        interrupted: Callable[[Sequence[str]], None],
        connects: Pace,
        metrics: Metrics,
        timing: Timing,
        name: str = "0",
    ) -> None:
        self._exchange, self._adapter, self._symbols = exchange, adapter, list(symbols)
        self._base_url, self._ticket, self._deliver, self._interrupted = base_url, ticket, deliver, interrupted
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

    def _spawn(self, predecessor: Line | None) -> None:
        self._serial += 1
        thread = threading.Thread(
            target=self._run, args=(predecessor,), name=f"feed-{self._name}-{self._serial}", daemon=True
        )
        self._threads = [old for old in self._threads if old.is_alive()] + [thread]
        thread.start()

    def _run(self, predecessor: Line | None) -> None:
        """Connection after connection, until stopped or until a successor has taken over."""
        while not self._stopping.is_set():
            line = Line()
            try:
                self._live(line, predecessor)
            except Ended as end:
                self._interrupted(self._symbols)
                self._metrics.reconnects.labels(self._exchange, end.cause).inc()
                reason = str(end)
            except PublisherClosed:
                return
            if line.succeeded or self._stopping.is_set():
                return
            wait_s = self._backoff.next_s()
            self._log.warning("connection ended", reason=reason, reconnect_in_s=round(wait_s, 2))
            self._stopping.wait(wait_s)

    def _live(self, line: Line, predecessor: Line | None) -> None:
        """One connection, from the ticket to its end. Raises Ended, or returns when it should not be replaced."""
        if not self._connects.wait(self._stopping):
            return
        connection = self._open()
        gauge = self._metrics.connections.labels(self._exchange)
        gauge.inc()
        self._log.info("connected", symbols=len(self._symbols))
        with connection:
            reader = self._reader(connection, line, predecessor)
            try:
                reader.read_on()
            except ConnectionLost as lost:
                raise Ended("lost", str(lost)) from lost
            except Ended as end:
                self._barren += end.cause == "stale" and not reader.carried
                raise
            finally:
                gauge.dec()

    def _reader(self, connection: Connection, line: Line, predecessor: Line | None) -> Reader:
        timing = self._timing
        return Reader(
            connection,
            self._adapter.session(self._symbols),
            self._adapter.LIMITS,
            timing,
            Outlets(
                self._take, self._note_odd_frame, lambda why: self._hand_over(line, why), self._note_take_over
            ),
            line=line,
            predecessor=predecessor,
            stale_after_s=min(timing.stale_max_s, timing.stale_after_s * 2.0 ** min(self._barren, 30)),
            stopping=self._stopping,
        )

    def _open(self) -> Connection:
        try:
            url = self._adapter.websocket_url(
                self._base_url, self._ticket(), self._symbols, f"{self._name}-{time.time_ns()}"
            )
        except (HistoryError, ValueError) as error:
            raise Ended("ticket", str(error)) from error
        try:
            return connect(url, self._timing.connect_timeout_s)
        except ConnectionLost as lost:
            raise Ended("connect", str(lost)) from lost

    def _take(self, trades: list[Trade]) -> None:
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

    def _note_take_over(self) -> None:
        self._log.info("the next connection took over")

    def _hand_over(self, line: Line, why: str) -> None:
        """Starts the successor of a connection, once; the connection is read on until that one delivers."""
        if not line.succeeded:
            line.succeeded = True
            self._metrics.reconnects.labels(self._exchange, "renewed").inc()
            self._log.info("opening the next connection", reason=why)
            self._spawn(line)
