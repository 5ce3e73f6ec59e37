"""The Kafka client: how it is configured, opened and given up.

An idempotent producer of kafka-python 3.0 whose delivery time-out has passed may never deliver again, and then its
`flush` and `close` hang: so that time-out is long here, and a producer that failed is abandoned for a new one.
"""

from typing import Any

import structlog
from kafka import KafkaProducer  # type: ignore[import-untyped]  # it carries no types
from kafka.errors import KafkaError, KafkaTimeoutError  # type: ignore[import-untyped]
from kafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]

log = structlog.get_logger()


class NotReady(Exception):
    """Why nothing can be published yet."""


def connect(servers: str, topic: str) -> KafkaProducer:
    """A producer that sees the topic. Raises NotReady after a few seconds.

    servers: host:port, several with commas.
    """
    try:
        producer = KafkaProducer(**_config(servers))
    except (KafkaError, OSError) as error:
        raise NotReady(f"broker not there yet, waiting ({error})") from error
    try:
        partitions = len(producer.partitions_for(topic))
    except KafkaError as error:  # kafka-python asks until its time is up, and then says no more than that
        abandon(producer)
        raise NotReady("the broker has no such topic, waiting: create it with 6 partitions") from error
    log.info("broker connected", servers=servers, topic=topic, partitions=partitions)
    return producer


def abandon(producer: KafkaProducer) -> None:
    """Ends a Kafka producer without waiting for what it has not delivered."""
    try:
        producer.close(timeout=0)
    except KafkaTimeoutError:
        # kafka-python gives up here with its thread running, which would deliver one day
        producer._sender.force_close()


def _config(servers: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": servers.split(","),
        "client_id": "crypto-pipeline-producer",
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": "zstd",
        "partitioner": _CachingPartitioner(),
        "linger_ms": 10,
        "batch_size": 131_072,
        "delivery_timeout_ms": 24 * 3_600_000,
        "request_timeout_ms": 15_000,
        "reconnect_backoff_max_ms": 1_000,
        "bootstrap_timeout_ms": 5_000,
        "max_block_ms": 5_000,
        # the topic belongs to whoever runs the broker, with its partitions and retention
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }


class _CachingPartitioner(DefaultPartitioner):  # type: ignore[misc]  # kafka-python carries no types
    """Kafka's own placement by key, which costs a hash in Python a message, once a key."""

    def __init__(self) -> None:
        self._placed: dict[tuple[bytes, int], int] = {}

    def partition(
        self, topic: str, key: Any, serialized_key: Any, value: Any, serialized_value: Any, cluster: Any
    ) -> int:
        place = serialized_key, len(cluster.partitions_for_topic(topic))
        partition = self._placed.get(place)
        if partition is None:
            partition = self._placed[place] = super().partition(
                topic, key, serialized_key, value, serialized_value, cluster
            )
        return partition
