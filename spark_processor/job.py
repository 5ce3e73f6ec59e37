"""The Spark application CryptoAnalytics: Kafka `raw_trades` -> exact 1-minute bars in Postgres, with their proof.

Structured Streaming hands over micro-batches; each is evaluated by one kernel a task (`kernel`) and committed in
one transaction (`store`). Spark keeps no state: what is committed says what is new.

    python -m spark_processor.job [--trigger-interval "1 second"] [--batch-size N] [--replay] [--once]
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import structlog
from pydantic import ValidationError
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery
from tenacity import Retrying, retry_if_exception, sleep_using_event, stop_after_delay, wait_random_exponential

from producer.log import configure_logging
from spark_processor import kernel
from spark_processor.metrics import Metrics
from spark_processor.offsets import TopicUnavailable, starting_offsets
from spark_processor.settings import JobSettings
from spark_processor.store import APPLICATION, SchemaMissing, Stopped, Store, is_retryable

_log = structlog.get_logger()


class JarsMissing(RuntimeError):
    """Spark's connector to Kafka is not where it should be; the message says what to do."""


def main(arguments: Sequence[str]) -> int:
    """Runs until it is told to stop; returns the exit code: 0 after SIGTERM or SIGINT, 1 after a failure."""
    options = _options(arguments)
    given = {
        name: value
        for name, value in (
            ("trigger_interval", options.trigger_interval),
            ("max_offsets_per_trigger", options.batch_size),
        )
        if value is not None
    }
    try:
        settings = JobSettings(**given)
    except ValidationError as error:
        print(_bad_settings(error), file=sys.stderr)  # noqa: T201 - logging is a setting itself
        return 2
    configure_logging(settings.log_format, settings.log_level)
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it tells of each call from Spark
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run(settings, stopping, replay=options.replay, once=options.once)
    except (SchemaMissing, TopicUnavailable, JarsMissing) as error:
        _log.error("cannot run", problem=str(error))
        return 1
    except psycopg2.Error as error:
        _log.error("the database does not take the batch; nothing of it is stored", error=str(error).strip())
        return 1
    return 0


def run(settings: JobSettings, stopping: threading.Event, replay: bool, once: bool) -> None:
    """The job, until `stopping` is set.

    replay: start at the earliest message instead of where the last batch ended; it changes no bar.
    once: end when what Kafka had at the start is processed.
    Raises SchemaMissing, TopicUnavailable, JarsMissing, psycopg2.Error when the database was away for too long,
    and StreamingQueryException.
    """
    metrics = Metrics(settings.log_every_s)
    if settings.job_metrics_port:
        metrics.serve(settings.job_metrics_host, settings.job_metrics_port)
    store = Store(settings.postgres_dsn, settings.kafka_topic, settings.lock_idle_s, stopping)
    batches = _Batches(store, metrics, settings, stopping)
    try:
        positions = {} if replay else batches.patiently(store.positions)
        offsets = starting_offsets(settings.kafka_bootstrap_servers, settings.kafka_topic, positions, stopping)
        if offsets is None:
            return
        _log.info("starting", offsets=offsets, master=settings.spark_master_url, trigger=settings.trigger_interval)
        with _Checkpoint(settings.checkpoint_dir) as checkpoint:
            spark = _session(settings)
            try:
                query = _start(spark, settings, offsets, checkpoint, batches, once)
                _watch(query, batches, metrics, stopping)
            finally:
                spark.stop()
    except Stopped:
        pass
    finally:
        store.close()
    _log.info("stopped")


class _Batches:
    """What Spark calls with each micro-batch. An error that it raises ends the query, and is kept."""

    def __init__(self, store: Store, metrics: Metrics, settings: JobSettings, stopping: threading.Event) -> None:
        self._store = store
        self._metrics = metrics
        self._tasks = settings.job_tasks
        self._patience_s = settings.postgres_patience_s
        self._stopping = stopping
        self._busy = threading.Lock()
        self.error: BaseException | None = None

    def process(self, messages: DataFrame, _batch_id: int) -> None:
        with self._busy:
            if self._stopping.is_set():
                return  # it is read again at the next start
            try:
                self._process(messages.select(*kernel.MESSAGE_COLUMNS))
            except Stopped:
                return
            except BaseException as error:
                self.error = error
                raise

    def wait(self) -> None:
        """Returns when no batch is in progress."""
        with self._busy:
            return

    def patiently(self, attempt: Callable[[], Any]) -> Any:
        """The attempt's result; tried again for minutes while the database is away."""
        return Retrying(
            retry=retry_if_exception(self._may_succeed_later),
            wait=wait_random_exponential(multiplier=1, max=10),
            stop=stop_after_delay(self._patience_s),
            sleep=sleep_using_event(self._stopping),
            reraise=True,
        )(attempt)

    def _process(self, messages: DataFrame) -> None:
        def evaluate(tasks: int) -> Callable[[kernel.Coverage], Any]:
            return lambda coverage: (
                messages.coalesce(tasks).mapInArrow(kernel.task(coverage), kernel.RESULT).toArrow()
            )

        began = time.monotonic()
        # second: all in one task, where a symbol's trades are spread over partitions
        divisions = [evaluate(self._tasks), evaluate(1)]
        batch = self.patiently(lambda: self._store.commit(divisions))
        if batch is not None:
            self._metrics.committed(batch, time.monotonic() - began, datetime.now(UTC).timestamp())

    def _may_succeed_later(self, error: BaseException) -> bool:
        if not isinstance(error, psycopg2.Error) or not is_retryable(error, self._store.closed):
            return False
        self._metrics.postgres_failed()
        _log.warning("the database is away: trying again", error=str(error).strip())
        if self._stopping.is_set():
            raise Stopped
        return True


class _Checkpoint:
    """A folder of this run's own for Spark's progress. What a killed run left is removed when it is a day old: a
    younger one may belong to a job that still runs."""

    def __init__(self, base: Path) -> None:
        self._base = base.resolve()

    def __enter__(self) -> Path:
        self._base.mkdir(parents=True, exist_ok=True)
        for left in self._base.glob("run-*"):
            if time.time() - left.stat().st_mtime > 86_400:
                shutil.rmtree(left, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=self._base))
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _session(settings: JobSettings) -> SparkSession:
    jars = sorted(settings.spark_jars_dir.resolve().glob("*.jar"))
    if not jars:
        raise JarsMissing(
            f"SPARK_JARS_DIR={settings.spark_jars_dir} has no jars: it must hold Spark's connector to Kafka, as "
            "python -m local.jars fetches it"
        )
    local = settings.spark_master_url.startswith("local")
    if local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # nobody else needs its ports
    # the workers' Python must be one in which this project is installed
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session: SparkSession = (
        SparkSession.builder.appName(APPLICATION)
        .master(settings.spark_master_url)
        .config("spark.jars", ",".join(str(jar) for jar in jars))
        # in local mode the driver does the reading too
        .config("spark.driver.memory", "1g" if local else "512m")
        .config("spark.executor.memory", "1g")
        # measured: less CPU than G1 at this heap
        .config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")
        .config("spark.executor.extraJavaOptions", "-XX:+UseParallelGC")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "100000")
        .config("spark.sql.streaming.numRecentProgressUpdates", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("WARN" if settings.log_level == "DEBUG" else "ERROR")
    return session


def _start(
    spark: SparkSession, settings: JobSettings, offsets: str, checkpoint: Path, batches: _Batches, once: bool
) -> StreamingQuery:
    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
        .option("subscribe", settings.kafka_topic)
        .option("startingOffsets", offsets)
        .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
        # what the broker dropped is a hole, and named as one
        .option("failOnDataLoss", "false")
        # large fetches: measured, a quarter less CPU than the defaults
        .option("kafka.max.partition.fetch.bytes", 16 << 20)
        .option("kafka.fetch.max.bytes", 100 << 20)
        .option("kafka.max.poll.records", 20_000)
        .load()
    )
    writer = messages.writeStream.foreachBatch(batches.process).option("checkpointLocation", str(checkpoint))
    trigger = {"availableNow": True} if once else {"processingTime": settings.trigger_interval}
    return writer.trigger(**trigger).start()


def _watch(query: StreamingQuery, batches: _Batches, metrics: Metrics, stopping: threading.Event) -> None:
    try:
        while not query.awaitTermination(1):
            progress = query.lastProgress
            if progress:
                metrics.behind(_waiting(progress["sources"]))
            metrics.tick()
            if stopping.is_set():
                _log.info("stopping: the batch in progress ends first")
                batches.wait()
                query.stop()
    except StreamingQueryException:
        if batches.error is not None:
            raise batches.error from None  # says more than Spark's account of it
        raise


def _waiting(sources: Sequence[Any]) -> int:
    waiting = 0
    for source in sources:
        behind = (source["metrics"] or {}).get("totalOffsetsBehindLatest")
        waiting += int(float(behind or 0))
    return waiting


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spark_processor.job", description=__doc__)
    parser.add_argument("--trigger-interval", help='as "1 second"; instead of TRIGGER_INTERVAL')
    parser.add_argument(
        "--batch-size", type=int, help="most messages in a batch; instead of MAX_OFFSETS_PER_TRIGGER"
    )
    parser.add_argument("--replay", action="store_true", help="start at the earliest message; it changes no bar")
    parser.add_argument("--once", action="store_true", help="end when what Kafka has now is processed")
    return parser.parse_args(arguments)


def _bad_settings(error: ValidationError) -> str:
    return "\n".join(
        f"{str(problem['loc'][0]).upper()}={problem['input']!r}: {problem['msg']}" for problem in error.errors()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
