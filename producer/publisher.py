"""Trades to Kafka: every one acknowledged by all replicas, kept in memory until then, up to a bound.

At the bound `put` blocks, so its callers stop reading their sockets, and nothing is dropped: the buffers of the
kernel and of the exchange fill, then the exchange closes the connection, and what was missed is a hole that the
healer fills.

kafka-python has no `buffer_memory`, so only a limited number of messages is handed to it, and the rest waits here.
After the first failed delivery, or when nothing was acknowledged for long, a new Kafka producer takes over (see
`producer.broker` for why) and gets everything unacknowledged again, in order. Readers drop what they see twice.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from kafka import KafkaProducer  # type: ignore[import-untyped]  # it carries no types
from kafka.errors import KafkaError, KafkaTimeoutError  # type: ignore[import-untyped]

from producer.broker import NotReady, abandon, connect
from producer.metrics import Health, Metrics
from producer.trade import MalformedTrade, Trade, message_key, to_wire

_OVERHEAD_BYTES = 200  # of Python, for each message that waits
_IN_FLIGHT = 20_000  # messages handed to kafka-python; more speeds nothing up
_POLL_S = 0.005  # how often acknowledgements are looked for while there is nothing else to do
_QUIET_AFTER_S = 5.0  # a broker that acknowledges nothing for so long is worth a line in the log
_STUCK_AFTER_S = 60.0
_RETRY_S = 1.0
_REMIND_S = 30.0

log = structlog.get_logger()


class PublisherClosed(Exception):
    """The publisher takes no more trades."""


@dataclass(slots=True)
class _Batch:
    """The trades of one `put`, all of one exchange and source."""

    exchange: str
    source: str
    traded_at_us: int
    received_at_us: int
    records: list[tuple[bytes, bytes]]
    size_bytes: int
    futures: list[Any] = field(default_factory=list)


class Publisher:
    """Publishes trades from any number of threads.

    buffer_bytes: what waits for acknowledgement may take this much memory, plus one `put` of each caller.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        buffer_bytes: int,
        metrics: Metrics,
        health: Health,
        stuck_after_s: float = _STUCK_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers, self._topic = bootstrap_servers, topic
        self._bound_bytes = buffer_bytes
        self._metrics, self._health = metrics, health
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._keys: dict[str, bytes] = {}
        self._changed = threading.Condition()
        # both in the order of `put`; under the lock are `_waiting`, `_buffered_bytes` and `_deadline`
        self._waiting: deque[_Batch] = deque()
        self._sent: deque[_Batch] = deque()
        self._buffered_bytes = 0
        self._in_flight = 0
        self._full = False
        self._deadline: float | None = None
        self._refused_told_at = float("-inf")
        metrics.buffer_bytes.set_function(lambda: self._buffered_bytes)
        metrics.buffer_fill.set_function(lambda: self._buffered_bytes / self._bound_bytes)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Starts publishing. A broker that is not there yet is waited for."""
        self._thread.start()

    def put(self, trades: Sequence[Trade]) -> None:
        """Publishes trades of one exchange and source, in their order.

        Blocks while the buffer is full. A trade that the contract cannot hold is counted, logged and left out.
        Raises PublisherClosed.
        """
        batch = self._encode(trades)
        if batch is None:
            return
        with self._changed:
            while self._buffered_bytes >= self._bound_bytes and self._deadline is None:
                self._note_full()
                self._changed.wait(1.0)
            if self._deadline is not None:
                raise PublisherClosed
            self._waiting.append(batch)
            self._buffered_bytes += batch.size_bytes
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def buffered(self) -> tuple[int, int]:
        """How much is not acknowledged: messages and bytes."""
        with self._changed:
            waiting = sum(len(batch.records) for batch in self._waiting)
            return waiting + self._in_flight, self._buffered_bytes

    def close(self, flush_timeout_s: float) -> int:
        """Takes no more trades, delivers what is buffered, and says how many trades stayed undelivered."""
        with self._changed:
            self._deadline = self._clock() + flush_timeout_s
            self._changed.notify_all()
        self._thread.join(flush_timeout_s + 15)  # the connect and the close have time-outs of their own
        return self.buffered()[0]

    def _encode(self, trades: Sequence[Trade]) -> _Batch | None:
        records, size_bytes, keys = [], 0, self._keys
        for trade in trades:
            try:
                value = to_wire(trade)
            except MalformedTrade as error:
                self._note_refused(trade, error)
                continue
            name = f"{trade.exchange}:{trade.symbol}"
            key = keys.get(name)
            if key is None:
                key = keys[name] = message_key(trade.exchange, trade.symbol)
            records.append((key, value))
            size_bytes += len(value)
        if not records:
            return None
        size_bytes += _OVERHEAD_BYTES * len(records)
        last = trades[-1]
        return _Batch(last.exchange, last.source, last.traded_at_us, last.received_at_us, records, size_bytes)

    def _note_refused(self, trade: Trade, why: MalformedTrade) -> None:
        self._metrics.rejected_frames.labels(trade.exchange).inc()
        if self._clock() > self._refused_told_at + _REMIND_S:
            self._refused_told_at = self._clock()
            log.warning("trades refused that the contract cannot hold", example=str(why))

    def _note_full(self) -> None:
        if not self._full:
            self._full = True
            log.warning("buffer full, reading stops", buffer_mb=round(self._buffered_bytes / 2**20, 1))

    def _run(self) -> None:
        producer = self._connect()
        progress_at, quiet = self._clock(), False
        while producer is not None and not self._finished():
            try:
                progressed = self._send(producer)
                if self._settle():
                    progressed, progress_at = True, self._clock()
                    if quiet:
                        quiet = False
                        log.info("broker acknowledges again", **self._buffer_state())
                elif not self._sent:
                    progress_at = self._clock()
                elif not quiet and self._clock() > progress_at + _QUIET_AFTER_S:
                    quiet = True
                    log.warning("broker acknowledges nothing", servers=self._servers, **self._buffer_state())
                if self._clock() > progress_at + self._stuck_after_s:
                    raise KafkaTimeoutError(f"nothing acknowledged for {self._stuck_after_s:.0f} s")
            except KafkaError as error:
                log.warning("delivery failed, a new Kafka producer takes over", reason=str(error))
                self._metrics.kafka_producers.inc()
                self._take_back()
                abandon(producer)
                with self._changed:
                    self._changed.wait_for(self._past_deadline, _RETRY_S)
                producer = self._connect()
                progress_at = self._clock()
                continue
            if not progressed:
                self._rest()
        if producer is not None:
            abandon(producer)

    def _connect(self) -> KafkaProducer | None:
        """A producer that sees the topic; None if the deadline of a close came first."""
        told: tuple[str, float] | None = None
        while not self._past_deadline():
            try:
                return connect(self._servers, self._topic)
            except NotReady as reason:
                complaint = str(reason)
            now = self._clock()
            if told is None or told[0] != complaint or now > told[1] + _REMIND_S:
                told = complaint, now
                log.warning(complaint, servers=self._servers, topic=self._topic, **self._buffer_state())
            with self._changed:
                self._changed.wait_for(self._past_deadline, _RETRY_S)
        return None

    def _send(self, producer: KafkaProducer) -> bool:
        """Hands one batch to Kafka, if there is one and room for it."""
        if not self._waiting or self._in_flight >= _IN_FLIGHT:
            return False
        batch = self._waiting[0]
        send, topic, futures = producer.send, self._topic, batch.futures
        for key, value in batch.records[len(futures) :]:
            futures.append(send(topic, value, key))
        with self._changed:
            self._waiting.popleft()
            self._in_flight += len(batch.records)
        self._sent.append(batch)
        return True

    def _settle(self) -> bool:
        """Forgets the batches that are acknowledged. Raises the KafkaError of a failed delivery."""
        settled_bytes = 0
        while self._sent:
            batch = self._sent[0]
            futures = batch.futures
            if not futures[-1].is_done or not all(future.is_done for future in futures):
                break
            for future in futures:
                if future.exception is not None:
                    raise future.exception
            self._sent.popleft()
            self._in_flight -= len(futures)
            settled_bytes += batch.size_bytes
            self._count(batch)
        if settled_bytes:
            with self._changed:
                self._buffered_bytes -= settled_bytes
                if self._buffered_bytes < self._bound_bytes:
                    if self._full:
                        self._full = False
                        log.info("buffer has room, reading goes on")
                    self._changed.notify_all()
        return settled_bytes > 0

    def _count(self, batch: _Batch) -> None:
        now_us = time.time_ns() // 1000
        self._health.acknowledged(batch.exchange)
        metrics = self._metrics
        metrics.trades.labels(batch.exchange, batch.source).inc(len(batch.records))
        if batch.source == "ws":
            metrics.lag.labels(batch.exchange).observe(max(0, now_us - batch.traded_at_us) / 1e6)
            metrics.delivery.labels(batch.exchange).observe(max(0, now_us - batch.received_at_us) / 1e6)

    def _take_back(self) -> None:
        """Everything unacknowledged waits again, in its order."""
        with self._changed:
            if self._waiting and self._waiting[0].futures:
                self._sent.append(self._waiting.popleft())  # partly handed over
            for batch in self._sent:
                batch.futures += [None] * (len(batch.records) - len(batch.futures))
                batch.records = [
                    record
                    for record, future in zip(batch.records, batch.futures, strict=True)
                    if future is None or not future.is_done or future.exception is not None
                ]
                batch.futures = []
            self._waiting.extendleft(reversed([batch for batch in self._sent if batch.records]))
            self._buffered_bytes -= sum(batch.size_bytes for batch in self._sent if not batch.records)
            self._sent.clear()
            self._in_flight = 0

    def _rest(self) -> None:
        with self._changed:
            if self._sent:
                self._changed.wait(_POLL_S)
            elif not self._waiting and self._deadline is None:
                self._changed.wait(1.0)

    def _finished(self) -> bool:
        if self._deadline is None:
            return False
        return self._past_deadline() or not (self._waiting or self._sent)

    def _past_deadline(self) -> bool:
        if self._deadline is None:
            return False
        return self._clock() >= self._deadline or not (self._waiting or self._sent)

    def _buffer_state(self) -> dict[str, Any]:
        messages, size_bytes = self.buffered()
        return {"buffered_trades": messages, "buffered_mb": round(size_bytes / 2**20, 1)}
