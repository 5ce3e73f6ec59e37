"""A streaming query of Spark over the backlog to its end, with Spark's own source and this project's batches.

Every contender of this kind has the same Java options, fetch sizes and batches, and differs by its query alone.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from benchmarks.contenders.progress import tell
from benchmarks.servers import spark_jars_dir
from spark_processor.settings import JobSettings


def run(
    settings: JobSettings,
    query: Callable[[SparkSession, DataFrame], DataFrame],
    process: Callable[[DataFrame], None],
    output_mode: str = "append",
) -> None:
    """Lets `process` have each batch of what `query` makes of the messages, and tells progress."""
    ended_at_s: dict[int, float] = {}

    def batch(frame: DataFrame, batch_id: int) -> None:
        process(frame)
        ended_at_s[batch_id] = time.time()

    spark = _session(settings)
    with tempfile.TemporaryDirectory() as checkpoint:
        frame = query(spark, _messages(spark, settings))
        writer = frame.writeStream.outputMode(output_mode).foreachBatch(batch)
        running = writer.option("checkpointLocation", str(Path(checkpoint))).trigger(availableNow=True).start()
        running.awaitTermination()
        messages = {progress["batchId"]: progress["numInputRows"] for progress in running.recentProgress}
        spark.stop()
    for batch_id, at_s in ended_at_s.items():
        tell(at_s, messages.get(batch_id, 0))


def _session(settings: JobSettings) -> SparkSession:
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    spark = (
        SparkSession.builder.master(settings.spark_master_url)
        .config("spark.driver.memory", "1g")
        # parallel collection takes less CPU than G1 at this heap
        .config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")
        .config("spark.driver.extraClassPath", f"{spark_jars_dir()}/*")
        # without checksums of Spark's progress: half the time of writing it
        .config("spark.hadoop.fs.AbstractFileSystem.file.impl", "org.apache.hadoop.fs.local.RawLocalFs")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _messages(spark: SparkSession, settings: JobSettings) -> DataFrame:
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
        .option("subscribe", settings.kafka_topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
        # large fetches cost less CPU than the defaults
        .option("kafka.max.partition.fetch.bytes", 16 << 20)
        .option("kafka.fetch.max.bytes", 100 << 20)
        .option("kafka.max.poll.records", 20_000)
        .load()
    )
