"""What Spark calls with each micro-batch: evaluate it, commit it, and wait for a database that is away."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
import pyarrow as pa  # type: ignore[import-untyped]
import structlog
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everyone writes it
from tenacity import Retrying, retry_if_exception, sleep_using_event, stop_after_delay, wait_random_exponential

from producer.trade import MAX_MESSAGE_BYTES
from spark_processor import kernel
from spark_processor.metrics import Metrics
from spark_processor.store import Stopped, Store, is_retryable

_log = structlog.get_logger()

_T = TypeVar("_T")

# Dividing so few messages costs more than it saves: at 2,000 trades/s one task halves a batch's time on 2 cores.
_SMALL_BATCH = 20_000


class Batches:
    """Processes one batch after the other.

    tasks: that a large batch is divided among. patience_s: how long a batch waits for a database that is away.
    stopping: once set, no further batch is begun, and waiting ends.
    """

    def __init__(
        self, store: Store, metrics: Metrics, tasks: int, patience_s: float, stopping: threading.Event
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._tasks = tasks
        self._patience_s = patience_s
        self._stopping = stopping
        self._busy = threading.Lock()
        self._small = False  # whether the batch before was
        self._evaluating_since: float | None = None
        self.error: Exception | None = None  # what ended the query, which Spark tells in many more words

    def process(self, messages: DataFrame, _batch_id: int) -> None:
        """For `foreachBatch`. Spark's number of the batch means nothing: what is committed says what is new."""
        with self._busy:
            if self._stopping.is_set():
                return  # the next start reads it again
            try:
                self._process(_bounded(messages))
            except Stopped:
                return
            except Exception as error:
                self.error = error
                raise

    @property
    def evaluating_s(self) -> float:
        """For how long Spark has been working at a batch; 0 where it is not."""
        since = self._evaluating_since
        return 0.0 if since is None else time.monotonic() - since

    def wait(self) -> None:
        """Returns when no batch is in progress."""
        with self._busy:
            return

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

    def _process(self, messages: DataFrame) -> None:
        def divided(tasks: int) -> Callable[[kernel.Coverage], pa.Table]:
            def evaluate(coverage: kernel.Coverage) -> pa.Table:
                self._evaluating_since = time.monotonic()
                try:
                    return messages.coalesce(tasks).mapInArrow(kernel.task(coverage), kernel.RESULT).toArrow()
                finally:
                    self._evaluating_since = None

            return evaluate

        began = time.monotonic()
        # Nobody knows a batch's size before it is read, but the one before tells. In one task no symbol can be
        # spread; after several, a symbol whose trades lie in two partitions may call for the second evaluation.
        evaluations = [divided(1)] if self._small else [divided(self._tasks), divided(1)]
        batch = self.patiently(lambda: self._store.commit(evaluations))
        if batch is not None:
            self._small = batch.messages < _SMALL_BATCH
            self._metrics.committed(batch, took_s=time.monotonic() - began, committed_at_s=time.time())

    def _may_succeed_later(self, error: BaseException) -> bool:
        if not isinstance(error, psycopg2.Error) or not is_retryable(error, self._store.closed):
            return False
        if self._stopping.is_set():
            raise Stopped
        self._metrics.postgres_failed()
        _log.warning("the database is away: trying again", error=str(error).strip(), patience_s=self._patience_s)
        return True


def _bounded(messages: DataFrame) -> DataFrame:
    """The columns that the kernel reads, no value longer than it takes to see that it is too long for a trade.

    A batch may hold half a million messages, and the broker takes any of a megabyte.
    """

    def beginning(name: str, size: int) -> Column:
        cut = F.substring(name, 1, size)
        return F.when(F.length(name) > size, cut).otherwise(F.col(name)).alias(name)

    bounds = {"value": MAX_MESSAGE_BYTES + 1, "key": kernel.KEPT_BYTES}
    return messages.select(
        *(beginning(name, bounds[name]) if name in bounds else F.col(name) for name in kernel.MESSAGE_COLUMNS)
    )
