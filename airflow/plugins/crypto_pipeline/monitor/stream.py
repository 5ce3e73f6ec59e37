"""How far the Spark job has read the topic, against where the topic ends.

Only what is missing after the job has passed the ends is missing: lag is not loss. Ends are asked for first, and
positions, which each batch stores in the transaction of its trades, are waited for.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto_pipeline.statements import rows

if TYPE_CHECKING:
    from psycopg2.extensions import connection

Offsets = Mapping[int, int]  # by partition, the next one

_POLL_S = 0.5


class BrokerAway(RuntimeError):
    """The broker or the topic cannot be read; the message says which and what to look at."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What the job has not read yet. age_s: how long the oldest of it has been in the topic."""

    messages: int
    age_s: float


@dataclass(frozen=True, slots=True)
class StreamState:
    """How the stream stands.

    passed: whether the job passed the ends of the topic as they were at first; only then may gaps be judged.
    moved: whether it read anything while it was waited for.
    batch_age_s: the age of the newest batch, None where there is none.
    """

    passed: bool
    moved: bool
    lag: Lag
    batch_age_s: float | None


def look(
    db: "connection", bootstrap_servers: str, topic: str, patience_s: float, poll_s: float = _POLL_S
) -> StreamState:
    """Waits until the job has passed the present ends of the topic, for as long as `patience_s`.

    The lag is that of the beginning. Raises BrokerAway.
    """
    start, ends = bounds(bootstrap_servers, topic)
    before, age_s = positions(db, topic)
    lag = _lag(bootstrap_servers, topic, _unread(before, start, ends), ends)
    passed = wait_until_passed(db, topic, ends, patience_s, start, poll_s)
    after, _ = positions(db, topic)
    return StreamState(passed, after != before, lag, age_s)


def bounds(bootstrap_servers: str, topic: str) -> tuple[Offsets, Offsets]:
    """The first offset that the broker still has, and the next it will give, by partition. Raises BrokerAway."""
    from kafka.errors import KafkaError  # type: ignore[import-untyped]  # it carries no types

    from producer import broker

    consumer = _consumer(bootstrap_servers)
    try:
        found = broker.bounds(consumer, topic)
    except KafkaError as error:
        raise BrokerAway(f"{bootstrap_servers} does not tell the offsets of {topic}: {error!r}") from error
    finally:
        consumer.close()
    if not found:
        raise BrokerAway(f"{bootstrap_servers} has no topic {topic}: create it, or set KAFKA_TOPIC")
    return {number: first for number, (first, _) in found.items()}, {
        number: end for number, (_, end) in found.items()
    }


def positions(db: "connection", topic: str) -> tuple[Offsets, float | None]:
    """Up to where the job has read each partition, and how old its newest batch is, None where there is none."""
    found = rows(db, "monitor/newest_batch", topic=topic)
    if not found:
        return {}, None
    return {int(partition): int(offset) for partition, offset in found[0].positions.items()}, found[0].age_s


def wait_until_passed(
    db: "connection",
    topic: str,
    ends: Offsets,
    patience_s: float,
    start: Offsets | None = None,
    poll_s: float = _POLL_S,
) -> bool:
    """Waits until the job has read everything before these offsets; False: not in time.

    start: the first offsets that the broker has; what lies before is not waited for.
    """
    deadline = time.monotonic() + patience_s
    while _unread(positions(db, topic)[0], start or {}, ends):
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


def _unread(read: Offsets, start: Offsets, ends: Offsets) -> dict[int, int]:
    """Where reading goes on, of each partition that has something unread."""
    next_offsets = {partition: max(read.get(partition, 0), start.get(partition, 0)) for partition in ends}
    return {partition: offset for partition, offset in next_offsets.items() if offset < ends[partition]}


def _lag(bootstrap_servers: str, topic: str, unread: Offsets, ends: Offsets) -> Lag:
    messages = sum(ends[partition] - offset for partition, offset in unread.items())
    if not messages:
        return Lag(0, 0.0)
    return Lag(messages, max(0.0, time.time() - _oldest_s(bootstrap_servers, topic, unread)))


def _oldest_s(bootstrap_servers: str, topic: str, offsets: Offsets) -> float:
    """When the oldest message at these offsets was sent, in seconds since 1970; now where none is given."""
    from kafka import TopicPartition  # type: ignore[import-untyped]
    from kafka.errors import KafkaError

    consumer = _consumer(bootstrap_servers)
    oldest_ms = time.time() * 1000
    try:
        for partition, offset in offsets.items():
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            consumer.seek(place, offset)
            for records in consumer.poll(timeout_ms=5_000, max_records=1).values():
                oldest_ms = min(oldest_ms, records[0].timestamp)
    except KafkaError as error:
        raise BrokerAway(f"{bootstrap_servers} does not give what the job has not read: {error!r}") from error
    finally:
        consumer.close()
    return oldest_ms / 1000


def _consumer(bootstrap_servers: str):  # type: ignore[no-untyped-def]  # kafka-python carries no types
    # not above: it is heavy, and a DAG file imports this module
    from producer.broker import NotReady, connect_reader

    try:
        return connect_reader(bootstrap_servers)
    except NotReady as error:
        raise BrokerAway(f"the broker {bootstrap_servers} does not answer: {error}") from error
