"""One batch after the other: evaluated on Spark, committed, and kept trying while the database is away."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg2
import pyarrow as pa  # type: ignore[import-untyped]
import structlog
from tenacity import Retrying, retry_if_exception, sleep_using_event, stop_after_delay, wait_random_exponential

from spark_processor.kernel import Coverage
from spark_processor.metrics import Metrics
from spark_processor.offsets import OffsetRange, divided
from spark_processor.session import Stopped, is_retryable
from spark_processor.store import Store
from spark_processor.tasks import Evaluate

_log = structlog.get_logger()

_T = TypeVar("_T")

# Dividing so few messages costs more than it saves: at 2,000 trades/s one task halves a batch's time on 2 cores.
_SMALL_BATCH = 20_000


class Batches:
    """Processes one batch after the other.

    tasks: that a large batch is divided among. patience_s: how long a batch waits for a database that is away.
    stopping: ends waiting.
    """

    def __init__(
        self, store: Store, metrics: Metrics, tasks: int, patience_s: float, stopping: threading.Event
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._tasks = tasks
        self._patience_s = patience_s
        self._stopping = stopping
        self._evaluating_since: float | None = None

    def process(self, ranges: Sequence[OffsetRange], evaluate: Evaluate) -> None:
        """Brings these ranges of the topic into the database. Raises Stopped, and what ended the last attempt."""
        began = time.monotonic()
        # In one task no symbol can be spread; after several, a symbol whose trades lie in two partitions may call
        # for the second evaluation.
        small = sum(map(len, ranges)) < _SMALL_BATCH
        evaluations = [
            self._timed(evaluate, divided(ranges, tasks)) for tasks in ((1,) if small else (self._tasks, 1))
        ]
        batch = self.patiently(lambda: self._store.commit(ranges, evaluations))
        self._metrics.committed(batch, took_s=time.monotonic() - began, committed_at_s=time.time())

    @property
    def evaluating_s(self) -> float:
        """For how long Spark has been working at a batch; 0 where it is not."""
        since = self._evaluating_since
        return 0.0 if since is None else time.monotonic() - since

    def patiently(self, attempt: Callable[[], _T]) -> _T:
        """The attempt's result; tried again for a while if the database is away. Raises what it raised last."""
        retrying = Retrying(
            retry=retry_if_exception(self._may_succeed_later),
            wait=wait_random_exponential(multiplier=1, max=10),
            stop=stop_after_delay(self._patience_s),
            sleep=sleep_using_event(self._stopping),
            reraise=True,
        )
        return retrying(attempt)

    def _timed(self, evaluate: Evaluate, parts: Sequence[Sequence[OffsetRange]]) -> Callable[[Coverage], pa.Table]:
        def timed(coverage: Coverage) -> pa.Table:
            self._evaluating_since = time.monotonic()
            try:
                return evaluate(parts, coverage)
            finally:
                self._evaluating_since = None

        return timed

    def _may_succeed_later(self, error: BaseException) -> bool:
        if not isinstance(error, psycopg2.Error) or not is_retryable(error, self._store.closed):
            return False
        if self._stopping.is_set():
            raise Stopped
        self._metrics.postgres_failed()
        _log.warning("the database is away: trying again", error=str(error).strip(), patience_s=self._patience_s)
        return True
