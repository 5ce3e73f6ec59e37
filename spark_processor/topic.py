"""What of the topic is to be read next: a range of offsets of each partition.

The database is the only judge of what has been processed: reading goes on where its last batch ended. Beginning
too early costs time and changes nothing; so where the broker does not have that offset (it dropped old messages,
or its log was cut off or begun anew) reading begins at the earliest one, and what was lost shows as a hole in
coverage. A new log that is longer than the old one looks like the old one: `--replay` reads it from its beginning.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Event

import structlog
from kafka import KafkaConsumer  # type: ignore[import-untyped]
from kafka.errors import KafkaError  # type: ignore[import-untyped]

from producer import broker
from producer.broker import NotReady, connect_reader
from spark_processor.offsets import OffsetRange, at_most

_log = structlog.get_logger()

_PARTITIONS_KNOWN_MS = 60_000  # then new ones are looked for
_TRY_AGAIN_S = 2
_LEAST_PAUSE_S = 0.02  # between two looks


class TopicUnavailable(RuntimeError):
    """The topic cannot be read; the message says what to do."""


class Topic:
    """Asks the broker what it has.

    patience_s: how long a broker that is away, or a topic that is not there, is waited for.
    stopping: ends waiting.
    waiting: how many messages there are beyond the last batch; None before the first.
    """

    def __init__(self, bootstrap_servers: str, name: str, stopping: Event, patience_s: float = 120) -> None:
        self._servers = bootstrap_servers
        self._name = name
        self._stopping = stopping
        self._patience_s = patience_s
        self._consumer: KafkaConsumer | None = None
        self.waiting: int | None = None

    def close(self) -> None:
        """Gives up the connection, until it is asked again."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def batches(
        self, positions: Mapping[int, int], most: int, every_s: float, once: bool
    ) -> Iterator[list[OffsetRange]]:
        """What is to be processed next, again and again, until told to stop; each begins where the last one ended.

        positions: the next offset by partition. most: messages in a batch. every_s: how often the topic is looked
        at; at once while more is waiting. once: until all that there is now was given.
        Raises TopicUnavailable when there is no broker or no such topic for too long.
        """
        unread, positions = self._unread(positions), dict(positions)
        while not self._stopping.is_set():
            looked_at = time.monotonic()
            batch = at_most(most, unread)
            self.waiting = sum(map(len, unread)) - sum(map(len, batch))
            if batch:
                yield batch
            elif once:
                return
            positions |= {one.partition: one.begin for one in unread}
            positions |= {one.partition: one.end for one in batch}
            if once:
                unread = [replace(one, begin=positions[one.partition]) for one in unread]
                continue
            if not self.waiting:
                self._stopping.wait(max(_LEAST_PAUSE_S, looked_at + every_s - time.monotonic()))
            unread = self._unread(positions)

    def _unread(self, positions: Mapping[int, int]) -> list[OffsetRange]:
        """What there is from these offsets on; nothing when told to stop meanwhile."""
        deadline = time.monotonic() + self._patience_s
        while not self._stopping.is_set():
            try:
                if bounds := broker.bounds(self._connected(), self._name):
                    return [
                        OffsetRange(partition, self._begin(partition, positions.get(partition), first, end), end)
                        for partition, (first, end) in bounds.items()
                    ]
                problem = f"there is no topic {self._name} on {self._servers}: create it, or set KAFKA_TOPIC"
            except (NotReady, KafkaError) as error:
                problem = f"no answer from {self._servers} (KAFKA_BOOTSTRAP_SERVERS): {error}"
            self.close()  # a new one asks anew who leads the partitions
            if time.monotonic() > deadline:
                raise TopicUnavailable(problem)
            _log.warning("waiting for Kafka", problem=problem)
            self._stopping.wait(_TRY_AGAIN_S)
        return []

    def _begin(self, partition: int, position: int | None, first: int, end: int) -> int:
        if position is None or first <= position <= end:
            return first if position is None else position
        _log.warning(
            "the broker does not have the next offset: reading goes on at its earliest one",
            topic=self._name,
            partition=partition,
            next=position,
            earliest=first,
            end=end,
        )
        return first

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = connect_reader(self._servers, metadata_max_age_ms=_PARTITIONS_KNOWN_MS)
        return self._consumer
