"""The Spark application CryptoAnalytics: Kafka `raw_trades` -> exact 1-minute bars in Postgres, with their proof.

What is unread in the topic is taken in batches: each is read and evaluated by one kernel a task (`topic`, `tasks`,
`reader`, `kernel`) and committed in one transaction (`store`). Spark keeps no state: what is committed says what
is new, and where to read on.

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
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pydantic import ValidationError

from producer.log import configure_logging
from spark_processor.batches import Batches
from spark_processor.metrics import Metrics
from spark_processor.session import SchemaMissing, Stopped
from spark_processor.settings import JobSettings
from spark_processor.store import SpreadOverTasks, Store
from spark_processor.tasks import evaluation
from spark_processor.topic import Topic, TopicUnavailable

_log = structlog.get_logger()

_STOP_WITHIN_S = 15.0


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
    _stop_on_signals(stopping)
    try:
        run(settings, stopping, replay=options.replay, once=options.once)
    except (SchemaMissing, TopicUnavailable, SpreadOverTasks) as error:
        _log.error("cannot go on", problem=str(error))
        return 1
    except psycopg2.Error as error:
        _log.error("the database does not take the batch, and nothing of it is stored", error=str(error).strip())
        return 1
    except Py4JError as error:
        _log.error("Spark failed; what was read since the last batch is read again", error=str(error))
        return 1
    _log.info("stopped")
    return 0


def run(settings: JobSettings, stopping: threading.Event, replay: bool, once: bool) -> None:
    """The job, until `stopping` is set.

    replay: start at the earliest message instead of where the last batch ended; it changes no bar.
    once: end when what Kafka had at the start is processed.
    Raises SchemaMissing, TopicUnavailable, SpreadOverTasks, psycopg2.Error when the database was away for too long
    or refused a batch, and Py4JError when Spark failed.
    """
    metrics = Metrics(settings.log_every_s)
    if settings.job_metrics_port:
        metrics.serve(settings.job_metrics_host, settings.job_metrics_port)
    store = Store(settings.postgres_dsn, settings.kafka_topic, settings.lock_idle_s, stopping)
    topic = Topic(settings.kafka_bootstrap_servers, settings.kafka_topic, stopping)
    batches = Batches(store, metrics, settings.job_tasks, settings.postgres_patience_s, stopping)
    watched = (batches, topic, metrics, settings.spark_patience_s, stopping)
    threading.Thread(target=_watch, args=watched, daemon=True).start()
    try:
        positions = {} if replay else batches.patiently(store.positions)
        with evaluation(settings) as evaluate:
            _stop_on_signals(stopping)  # Spark has taken SIGINT for itself
            _log.info("starting", positions=positions, master=settings.spark_master_url)
            most, every_s = settings.max_offsets_per_trigger, settings.trigger_interval_s
            for ranges in topic.batches(positions, most, every_s, once):
                batches.process(ranges, evaluate)
    except Stopped:
        return
    finally:
        topic.close()
        store.close()


def _stop_on_signals(stopping: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())


def _watch(batches: Batches, topic: Topic, metrics: Metrics, patience_s: float, stopping: threading.Event) -> None:
    """Tells the metrics, and ends the process where Spark works at a batch for longer than patience_s.

    A driver that is refused the memory for one of its threads goes on without it, and waits for ever for executors
    that it does not hear. To stop such a Spark in order, or only to ask it, may take as long. Nor does a job that
    is told to stop wait for tasks that wait for Kafka: of a batch that is not committed nothing is stored.
    """
    told_to_stop_at = None
    while batches.evaluating_s <= patience_s:
        if stopping.is_set():
            told_to_stop_at = told_to_stop_at or time.monotonic()
            if time.monotonic() - told_to_stop_at > _STOP_WITHIN_S:
                _log.info("stopped without waiting for Spark; what is not committed is read again")
                os._exit(0)
        metrics.behind(topic.waiting)
        metrics.tick()
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
