"""What can be seen of a running job: Prometheus metrics, and a log line of the counts an interval."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from spark_processor.store import Batch

_log = structlog.get_logger()

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The counters of one job.

    log_every_s: how often the counts are logged. clock: seconds, monotonic.
    """

    def __init__(self, log_every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = registry = CollectorRegistry()
        self._messages = Counter(
            "job_messages", "Messages read, by what they were", ["outcome"], registry=registry
        )
        self._contradictions = Counter(
            "job_contradictions", "Messages that contradict another of their batch", registry=registry
        )
        self._time_falls = Counter(
            "job_time_falls",
            "Bars touched whose ids overlap a neighbour's: trade times fell across a minute's edge",
            registry=registry,
        )
        self._proven = Counter("job_proven_bars", "Bars that became proven", registry=registry)
        self._batch = Histogram(
            "job_batch_seconds", "From the start of a batch to its commit", buckets=_SECONDS, registry=registry
        )
        self._lag_s = Gauge(
            "job_lag_seconds",
            "From the receipt of the newest live trade of a batch to its commit",
            registry=registry,
        )
        self._lag_messages = Gauge(
            "job_lag_messages", "Messages that Kafka has beyond the last batch", registry=registry
        )
        self._input_rate = Gauge("job_input_messages_per_second", "Messages a second, lately", registry=registry)
        self._failures = Counter(
            "job_postgres_failures", "Attempts to commit that the database ended", registry=registry
        )
        self._log_every_s = log_every_s
        self._clock = clock
        self._interval = _Interval(clock())

    def serve(self, host: str, port: int) -> None:
        """Opens /metrics."""
        start_http_server(port, host, self.registry)

    def committed(self, batch: Batch, took_s: float, committed_at_s: float) -> None:
        """A batch is in the database. committed_at_s: since 1970."""
        for outcome in ("trades", "voids", "duplicates", "rejected"):
            self._messages.labels(outcome).inc(getattr(batch, outcome))
            self._interval.add(outcome, getattr(batch, outcome))
        for name, counter in (
            ("contradictions", self._contradictions),
            ("time_falls", self._time_falls),
            ("proven", self._proven),
        ):
            counter.inc(getattr(batch, name))
            self._interval.add(name, getattr(batch, name))
        self._batch.observe(took_s)
        self._interval.add("messages", batch.messages)
        self._interval.took_s.append(took_s)
        if batch.newest_received_at_us is not None:
            self._interval.lag_s = max(0.0, committed_at_s - batch.newest_received_at_us / 1e6)
            self._lag_s.set(self._interval.lag_s)

    def behind(self, messages: int | None) -> None:
        """So many messages are waiting in Kafka, as far as is known."""
        if messages is None:
            return
        self._lag_messages.set(messages)
        self._interval.lag_messages = messages

    def postgres_failed(self) -> None:
        """The database ended an attempt to commit."""
        self._failures.inc()

    def tick(self) -> None:
        """Logs the counts when an interval is over. Called often."""
        now, interval = self._clock(), self._interval
        passed_s = now - interval.began
        if passed_s < self._log_every_s:
            return
        rate = interval.counts.get("messages", 0) / passed_s
        self._input_rate.set(rate)
        _log.info(
            "batches",
            batches=len(interval.took_s),
            longest_s=round(max(interval.took_s, default=0), 2),
            messages_per_s=round(rate, 1),
            lag_messages=interval.lag_messages,
            lag_s=None if interval.lag_s is None else round(interval.lag_s, 2),
            **interval.counts,
        )
        self._interval = _Interval(now, lag_messages=interval.lag_messages)


@dataclass(slots=True)
class _Interval:
    began: float
    counts: dict[str, int] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    lag_s: float | None = None
    lag_messages: int | None = None

    def add(self, name: str, count: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + count
