"""The Spark application CryptoAnalytics: Kafka `raw_trades` -> exact 1-minute bars in Postgres, with their proof.

Structured Streaming hands over micro-batches; each is evaluated by one kernel a task (`kernel`) and committed in
one transaction (`store`). Spark keeps no state: what is committed says what is new.

    python -m spark_processor.job [--trigger-interval "1 second"] [--batch-size N] [--replay] [--once]
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import psycopg2
import structlog
from pydantic import ValidationError
from pyspark.errors import StreamingQueryException
from pyspark.sql.streaming.query import StreamingQuery

from producer.log import configure_logging
from spark_processor import streaming
from spark_processor.batches import Batches
from spark_processor.metrics import Metrics
from spark_processor.offsets import TopicUnavailable, starting_offsets
from spark_processor.settings import JobSettings
from spark_processor.store import SchemaMissing, SpreadOverTasks, Stopped, Store

_log = structlog.get_logger()


def main(arguments: Sequence[str]) -> int:
    """Runs until it is told to stop; returns the exit code: 0 after SIGTERM or SIGINT, not 0 after a failure."""
    options = _options(arguments)
    given = {"trigger_interval": options.trigger_interval, "max_offsets_per_trigger": options.batch_size}
    try:
        settings = JobSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        print(_bad_settings(error), file=sys.stderr)  # noqa: T201 - how to log is a setting itself
        return 2
    configure_logging(settings.log_format, settings.log_level)
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it tells of each call from Spark
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run(settings, stopping, replay=options.replay, once=options.once)
    except (SchemaMissing, TopicUnavailable, streaming.JarsMissing, SpreadOverTasks) as error:
        _log.error("cannot go on", problem=str(error))
        return 1
    except psycopg2.Error as error:
        _log.error("the database does not take the batch, and nothing of it is stored", error=str(error).strip())
        return 1
    except StreamingQueryException as error:
        _log.error("Spark ended the stream; what was read since the last batch is read again", error=str(error))
        return 1
    _log.info("stopped")
    return 0


def run(settings: JobSettings, stopping: threading.Event, replay: bool, once: bool) -> None:
    """The job, until `stopping` is set.

    replay: start at the earliest message instead of where the last batch ended; it changes no bar.
    once: end when what Kafka had at the start is processed.
    Raises SchemaMissing, TopicUnavailable, JarsMissing, psycopg2.Error when the database was away for too long or
    refused a batch, and StreamingQueryException.
    """
    metrics = Metrics(settings.log_every_s)
    if settings.job_metrics_port:
        metrics.serve(settings.job_metrics_host, settings.job_metrics_port)
    store = Store(settings.postgres_dsn, settings.kafka_topic, settings.lock_idle_s, stopping)
    batches = Batches(store, metrics, settings.job_tasks, settings.postgres_patience_s, stopping)
    guard = threading.Thread(target=_end_with_spark, args=(batches, settings.spark_patience_s), daemon=True)
    guard.start()
    try:
        positions = batches.patiently(store.positions)
        offsets = starting_offsets(
            settings.kafka_bootstrap_servers, settings.kafka_topic, {} if replay else positions, stopping
        )
        if offsets is None:
            return
        _log.info("starting", offsets=offsets, master=settings.spark_master_url, trigger=settings.trigger_interval)
        with (
            streaming.checkpoint_folder(settings.checkpoint_dir) as checkpoint,
            streaming.session(settings) as spark,
        ):
            messages = streaming.read_messages(spark, settings, offsets)
            query = streaming.start(messages, batches.process, checkpoint, settings.trigger_interval, once)
            _watch(query, batches, metrics, stopping)
    except Stopped:
        return
    finally:
        store.close()


def _watch(query: StreamingQuery, batches: Batches, metrics: Metrics, stopping: threading.Event) -> None:
    try:
        while not query.awaitTermination(1):
            metrics.behind(streaming.waiting_messages(query))
            metrics.tick()
            if stopping.is_set():
                _log.info("stopping after the batch in progress")
                batches.wait()
                query.stop()
    except StreamingQueryException:
        if batches.error is not None:
            raise batches.error from None
        raise


def _end_with_spark(batches: Batches, patience_s: float) -> None:
    """Ends the process where Spark works at a batch for longer than patience_s.

    A driver that is refused the memory for one of its threads goes on without it, and waits for ever for executors
    that it does not hear. To stop such a Spark in order, or only to ask it, may take as long.
    """
    while batches.evaluating_s <= patience_s:
        time.sleep(1)
    _log.error("Spark does not finish a batch: the job ends, to be started anew", patience_s=patience_s)
    os._exit(1)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spark_processor.job", description="Trades to proven bars.")
    parser.add_argument("--trigger-interval", help='as "1 second"; instead of TRIGGER_INTERVAL')
    parser.add_argument("--batch-size", help="most messages in a batch; instead of MAX_OFFSETS_PER_TRIGGER")
    parser.add_argument("--replay", action="store_true", help="start at the earliest message; it changes no bar")
    parser.add_argument("--once", action="store_true", help="end when what Kafka has now is processed")
    return parser.parse_args(arguments)


def _bad_settings(error: ValidationError) -> str:
    told = []
    for problem in error.errors():
        name = str(problem["loc"][0]).upper()
        value = "" if name == "POSTGRES_DSN" else f"={problem['input']!r}"  # it holds a password
        told.append(f"{name}{value}: {problem['msg']}")
    return "\n".join(told)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
