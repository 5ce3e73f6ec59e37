"""Spark's side of the job: the session, the Kafka source, and a folder for its progress."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from spark_processor.settings import JobSettings
from spark_processor.store import APPLICATION

_A_DAY_S = 86_400


class JarsMissing(RuntimeError):
    """Spark's connector to Kafka is not where it should be; the message says what to do."""


@contextmanager
def session(settings: JobSettings) -> Iterator[SparkSession]:
    """A Spark session for as long as the context lasts. Raises JarsMissing."""
    jars_dir = settings.kafka_connector_dir.resolve()
    if not any(jars_dir.glob("*.jar")):
        raise JarsMissing(
            f"KAFKA_CONNECTOR_DIR={settings.kafka_connector_dir} has no jars: it must hold Spark's connector "
            "to Kafka, as python -m local.jars fetches it"
        )
    connector = f"{jars_dir}/*"
    local = settings.spark_master_url.startswith("local")
    if local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # nobody else needs its ports
    # the workers' Python must be one in which this project is installed
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(APPLICATION)
    if local:
        # elsewhere who submits the job says what it gets; parallel collection takes less CPU than G1 at this heap
        builder = builder.config("spark.driver.memory", "1g").config(
            "spark.driver.extraJavaOptions", "-XX:+UseParallelGC"
        )
    spark = (
        builder.master(settings.spark_master_url)
        .config("spark.driver.extraClassPath", connector)
        .config("spark.executor.extraClassPath", connector)
        .config("spark.python.daemon.module", "spark_processor.daemon")
        # Spark's progress, which nobody reads, without checksums: half the time of writing it
        .config("spark.hadoop.fs.AbstractFileSystem.file.impl", "org.apache.hadoop.fs.local.RawLocalFs")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        # so few that they fit beside the heap even if each is as long as a message may be
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "10000")
        .getOrCreate()
    )
    try:
        spark.sparkContext.setLogLevel("WARN" if settings.log_level == "DEBUG" else "ERROR")
        yield spark
    finally:
        spark.stop()


def read_messages(spark: SparkSession, settings: JobSettings, starting_offsets: str) -> DataFrame:
    """The topic as a stream. starting_offsets: as `offsets.starting_offsets` makes them."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
        .option("subscribe", settings.kafka_topic)
        .option("startingOffsets", starting_offsets)
        .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
        # what the broker dropped is a hole, and named as one
        .option("failOnDataLoss", "false")
        # large fetches cost less CPU than the defaults
        .option("kafka.max.partition.fetch.bytes", 16 << 20)
        .option("kafka.fetch.max.bytes", 100 << 20)
        .option("kafka.max.poll.records", 20_000)
        .load()
    )


def start(
    messages: DataFrame,
    process: Callable[[DataFrame, int], None],
    checkpoint: Path,
    trigger_interval: str,
    once: bool,
) -> StreamingQuery:
    """The running query. once: it ends when what Kafka had at the start is processed."""
    writer = messages.writeStream.foreachBatch(process).option("checkpointLocation", str(checkpoint))
    return (writer.trigger(availableNow=True) if once else writer.trigger(processingTime=trigger_interval)).start()


@contextmanager
def checkpoint_folder(base: Path) -> Iterator[Path]:
    """A folder of this run's own. Spark must write its progress somewhere; nobody ever reads it.

    What a killed run left is removed when it is a day old: a younger one may belong to a job that still runs.
    """
    base = base.resolve()
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob("run-*"):
        if time.time() - left.stat().st_mtime > _A_DAY_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def waiting_messages(query: StreamingQuery) -> int | None:
    """How many messages Kafka has beyond the last batch; None before the first."""
    progress = query.lastProgress
    if progress is None:
        return None
    waiting = 0
    for source in json.loads(progress.json)["sources"]:
        for topic, latest in (source["latestOffset"] or {}).items():
            read = source["endOffset"].get(topic, {})
            waiting += sum(offset - read.get(partition, 0) for partition, offset in latest.items())
    return waiting
