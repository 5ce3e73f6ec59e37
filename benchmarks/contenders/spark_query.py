"""A streaming query of Spark over the backlog to its end, in the session and with the source of the job.

So every contender on Spark has the same Java options, fetch sizes and batches, and differs by its query alone.
"""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from benchmarks.contenders.progress import tell
from spark_processor import streaming
from spark_processor.offsets import starting_offsets
from spark_processor.settings import JobSettings


def run(
    settings: JobSettings,
    query: Callable[[SparkSession, DataFrame], DataFrame],
    process: Callable[[DataFrame], None],
    output_mode: str = "append",
) -> None:
    """Lets `process` have each batch of what `query` makes of the messages, and tells progress."""
    offsets = starting_offsets(settings.kafka_bootstrap_servers, settings.kafka_topic, {}, threading.Event())
    assert offsets is not None
    ended_at_s: dict[int, float] = {}

    def batch(frame: DataFrame, batch_id: int) -> None:
        process(frame)
        ended_at_s[batch_id] = time.time()

    with tempfile.TemporaryDirectory() as checkpoint, streaming.session(settings) as spark:
        frame = query(spark, streaming.read_messages(spark, settings, offsets))
        writer = frame.writeStream.outputMode(output_mode).foreachBatch(batch)
        running = writer.option("checkpointLocation", str(Path(checkpoint))).trigger(availableNow=True).start()
        running.awaitTermination()
        messages = {progress["batchId"]: progress["numInputRows"] for progress in running.recentProgress}
    for batch_id, at_s in ended_at_s.items():
        tell(at_s, messages.get(batch_id, 0))
