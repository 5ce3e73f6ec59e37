"""Spark's Kafka source into nothing: the least that any job on it costs. Run by benchmarks.job.

Prints a line of JSON a batch: when it ended (seconds since 1970) and how many messages it had.
"""

import json
import tempfile
import threading
import time
from pathlib import Path

from pyspark.sql import DataFrame

from spark_processor import kernel, streaming
from spark_processor.offsets import starting_offsets
from spark_processor.settings import JobSettings


def main() -> None:
    settings = JobSettings()
    offsets = starting_offsets(settings.kafka_bootstrap_servers, settings.kafka_topic, {}, threading.Event())
    assert offsets is not None

    def discard(messages: DataFrame, _batch_id: int) -> None:
        columns = messages.select(*kernel.MESSAGE_COLUMNS).coalesce(settings.job_tasks)
        columns.write.format("noop").mode("overwrite").save()
        ended.append(time.time())

    ended: list[float] = []
    with tempfile.TemporaryDirectory() as folder, streaming.session(settings) as spark:
        messages = streaming.read_messages(spark, settings, offsets)
        query = streaming.start(messages, discard, Path(folder), settings.trigger_interval, once=True)
        query.awaitTermination()
        counts = [progress["numInputRows"] for progress in query.recentProgress if progress["numInputRows"]]
    for ended_at, count in zip(ended, counts, strict=True):
        print(json.dumps([ended_at, count]))  # noqa: T201 - for benchmarks.job to read


if __name__ == "__main__":
    main()
