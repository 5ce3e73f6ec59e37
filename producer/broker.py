"""The Kafka clients: how they are configured, opened and given up.

An idempotent producer of kafka-python 3.0 whose delivery time-out has passed may never deliver again, and then its
`flush` and `close` hang: so that time-out is long here, and a producer that failed is abandoned for a new one.
"""

import socket
from typing import Any

import structlog
from kafka import (  # type: ignore[import-untyped]  # it carries no types
    KafkaConsumer,
    KafkaProducer,
    TopicPartition,
)
from kafka.errors import (  # type: ignore[import-untyped]
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
)
from kafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]

log = structlog.get_logger()

_CONNECT_WITHIN_S = 5.0
_ANSWER_WITHIN_MS = 5_000


class NotReady(Exception):
    """Why nothing can be published or read yet."""


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


def connect_reader(servers: str, **options: Any) -> KafkaConsumer:
    """A consumer without a group, for offsets and messages of any partition. Raises NotReady after a few seconds.

    options: kafka-python's, besides those that are the same for all.
    """
    _check_listening(servers)
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=servers.split(","),
            client_id="crypto-pipeline-reader",
            enable_auto_commit=False,
            request_timeout_ms=_ANSWER_WITHIN_MS,
            bootstrap_timeout_ms=_ANSWER_WITHIN_MS,
            reconnect_backoff_max_ms=1_000,
            metrics_enabled=False,
            **options,
        )
    except (KafkaError, OSError) as error:
        raise NotReady(f"{servers}: {error}") from error
    # kafka-python 3.0.12 has an option of this name, and does not hand it on
    consumer._cluster.config["allow_auto_create_topics"] = False
    return consumer


def bounds(consumer: KafkaConsumer, topic: str) -> dict[int, tuple[int, int]]:
    """The first offset that the broker still has, and the next it will give, by partition; {}: no such topic.

    Raises KafkaError.
    """
    places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    try:
        first = consumer.beginning_offsets(places, _ANSWER_WITHIN_MS)
        end = consumer.end_offsets(places, _ANSWER_WITHIN_MS)
    except KeyError as error:  # kafka-python leaves out whom it would have to ask
        raise LeaderNotAvailableError(f"{error.args[0]} has no leader") from error
    return {place.partition: (first[place], end[place]) for place in places}


def abandon(producer: KafkaProducer) -> None:
    """Ends a Kafka producer without waiting for what it has not delivered."""
    try:
        producer.close(timeout=0)
    except KafkaTimeoutError:
        # kafka-python gives up here with its thread running, which would deliver one day
        producer._sender.force_close()


def _check_listening(servers: str) -> None:
    """A consumer that finds no broker leaves a thread: it is made only if one listens."""
    troubles = []
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_WITHIN_S).close()
        except (OSError, ValueError) as error:
            troubles.append(f"{server}: {error}")
        else:
            return
    raise NotReady("; ".join(troubles))


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
