"""Spark's side of the job: it brings each task to a core, and what the tasks found back."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa  # type: ignore[import-untyped]
from pyspark import SparkConf, SparkContext

from spark_processor import kernel
from spark_processor.kernel import Coverage
from spark_processor.offsets import OffsetRange
from spark_processor.reader import read
from spark_processor.settings import APPLICATION, JAVA_OPTIONS, JobSettings

Evaluate = Callable[[Sequence[Sequence[OffsetRange]], Coverage], pa.Table]


@contextmanager
def evaluation(settings: JobSettings) -> Iterator[Evaluate]:
    """What evaluates ranges of the topic on Spark, each part in a task of its own; as long as the context lasts.

    It returns the rows of all tasks (kernel.RESULT), and raises Py4JError where Spark failed, or a task too often.
    """
    context = SparkContext(conf=_conf(settings))
    try:
        context.setLogLevel("WARN" if settings.log_level == "DEBUG" else "ERROR")

        def evaluate(parts: Sequence[Sequence[OffsetRange]], coverage: Coverage) -> pa.Table:
            task = _task(settings.kafka_bootstrap_servers, settings.kafka_topic, coverage)
            context.setJobDescription(f"{sum(len(one) for part in parts for one in part):,} messages")
            found = context.parallelize(parts, len(parts)).map(task).collect()
            return pa.concat_tables([pa.ipc.open_stream(rows).read_all() for rows in found])

        yield evaluate
    finally:
        context.stop()


def _task(servers: str, topic: str, coverage: Coverage) -> Callable[[Sequence[OffsetRange]], bytes]:
    def run(part: Sequence[OffsetRange]) -> bytes:
        rows = kernel.evaluate(read(servers, topic, part), coverage)
        stream = pa.BufferOutputStream()  # Arrow's own form takes less room than pickled columns
        with pa.ipc.new_stream(stream, rows.schema) as writer:
            writer.write_table(rows)
        return bytes(stream.getvalue())

    return run


def _conf(settings: JobSettings) -> SparkConf:
    # the workers' Python must be one in which this project is installed
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = SparkConf().setAppName(APPLICATION).setMaster(settings.spark_master_url)
    conf.set("spark.python.daemon.module", "spark_processor.daemon")
    conf.set("spark.ui.showConsoleProgress", "false")
    if settings.spark_master_url.startswith("local"):  # elsewhere who submits the job says what it gets
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # nobody else needs its ports
        conf.set("spark.driver.memory", "512m")
        conf.set("spark.driver.extraJavaOptions", JAVA_OPTIONS)
    return conf
