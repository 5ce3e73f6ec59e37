"""Where in Kafka a start begins: where the last committed batch ended.

The database is the only judge of what has been processed. Spark's own checkpoint is not consulted: after a
database was restored from a backup it would skip what the backup lacks, and a second source of the same truth
could only disagree. Beginning too early costs time and changes nothing.
"""

import json
import time
from collections.abc import Mapping
from threading import Event

import structlog
from kafka import KafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from kafka.errors import KafkaError  # type: ignore[import-untyped]

_log = structlog.get_logger()

_EARLIEST = -2  # as Spark writes it


class TopicUnavailable(RuntimeError):
    """The topic cannot be read; the message says what to do."""


def starting_offsets(
    bootstrap_servers: str, topic: str, positions: Mapping[int, int], stopping: Event, patience_s: float = 120
) -> str | None:
    """The option `startingOffsets` of Spark's Kafka source; None when told to stop while waiting for the topic.

    positions: the next offset by partition. Where the broker has no such offset (it dropped old messages, or the
    topic was made anew) its earliest one serves: what was lost shows as a hole in coverage.
    Raises TopicUnavailable when there is no broker or no such topic for so long.
    """
    deadline = time.monotonic() + patience_s
    while not stopping.is_set():
        try:
            bounds = _bounds(bootstrap_servers, topic)
            problem = f"there is no topic {topic} on {bootstrap_servers}: create it, or set KAFKA_TOPIC"
        except KafkaError as error:
            bounds = {}
            problem = f"no answer from {bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS): {error}"
        if bounds:
            chosen = {
                str(partition): _within(positions.get(partition), *bounds[partition])
                for partition in sorted(bounds)
            }
            return json.dumps({topic: chosen})
        if time.monotonic() > deadline:
            raise TopicUnavailable(problem)
        _log.warning("waiting for Kafka", problem=problem)
        stopping.wait(2)
    return None


def _bounds(bootstrap_servers: str, topic: str) -> dict[int, tuple[int, int]]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        low, high = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    finally:
        consumer.close()
    return {place.partition: (low[place], high[place]) for place in partitions}


def _within(position: int | None, low: int, high: int) -> int:
    return position if position is not None and low <= position <= high else _EARLIEST
