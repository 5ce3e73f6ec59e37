"""A task's messages, read by the Python worker that evaluates them.

Spark's own source would bring each of them through the JVM and a socket to Python.
"""

import time
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import structlog
from kafka import KafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from kafka.errors import (  # type: ignore[import-untyped]
    KafkaError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from producer import broker
from producer.broker import NotReady, connect_reader
from producer.trade import MAX_MESSAGE_BYTES
from spark_processor.kernel import KEPT_BYTES, MESSAGES
from spark_processor.offsets import OffsetRange
from spark_processor.records import RecordBatch, of_whole_batches, taken_apart

_log = structlog.get_logger()

_BATCHES_AT_A_TIME = 50
_BYTES_AT_A_TIME = 4 << 20  # uncompressed
# Of all partitions together: what a megabit a second for each task brings within a request's time-out. Reading by
# half of it costs a seventh more.
_FETCH_BYTES = 1 << 19
_POLL_MS = 1_000
_QUIET_POLLS = 5
_PATIENCE_S = 45.0  # of a task, which Spark tries four times
_TRY_AGAIN_S = 0.5


class NothingCame(RuntimeError):
    """The broker does not deliver what it has; the message says of what."""


class LogCutOff(RuntimeError):
    """The broker's log ends before what was to be read; the message says where.

    To go on behind it would skip what the broker writes at these offsets from now on. A job that starts anew asks
    what there is.
    """


def read(bootstrap_servers: str, topic: str, ranges: Sequence[OffsetRange]) -> pa.Table:
    """The messages (kernel.MESSAGES) of these ranges, as far as the broker still has them.

    Of values no more than it takes to see that they are too long, of keys what is kept of them. Raises NothingCame
    where nothing comes for about a minute, LogCutOff, and CorruptBatch.
    """
    left = {TopicPartition(topic, one.partition): one for one in ranges}
    messages = _Messages()
    heard_at = time.monotonic()
    while left:
        before, problem = dict(left), "it has them, and does not send them"
        try:
            _read_on(_consumer(bootstrap_servers), left, messages)
        except (NotReady, KafkaError) as error:
            problem = str(error)
            _forget_consumer(bootstrap_servers)
        if left != before:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > _PATIENCE_S:
            raise NothingCame(f"nothing came from {bootstrap_servers} of {topic} {[*left.values()]}: {problem}")
        else:
            time.sleep(_TRY_AGAIN_S)
    return messages.table()


class _Messages:
    """Collects what comes."""

    def __init__(self) -> None:
        self._tables = [MESSAGES.empty_table()]
        self._waiting: list[tuple[OffsetRange, RecordBatch]] = []
        self._waiting_bytes = 0

    def add(self, wanted: OffsetRange, batches: Sequence[RecordBatch]) -> None:
        """What lies in this range of these batches, which come whole also where it begins or ends in one."""
        self._waiting += ((wanted, one) for one in batches)
        self._waiting_bytes += sum(len(one.records) for one in batches)
        if self._waiting_bytes > _BYTES_AT_A_TIME:
            self._take_apart()

    def table(self) -> pa.Table:
        if self._waiting:
            self._take_apart()
        return pa.concat_tables(self._tables)

    def _take_apart(self) -> None:
        records = taken_apart([batch for _, batch in self._waiting])
        of_batch = [(wanted.partition, wanted.begin, wanted.end) for wanted, _ in self._waiting]
        counts = [batch.count for _, batch in self._waiting]
        partition, begin, end = np.repeat(np.array(of_batch), counts, axis=0).T
        columns = (_bounded(records["value"], MAX_MESSAGE_BYTES + 1), _bounded(records["key"], KEPT_BYTES))
        messages = pa.table([*columns, partition.astype(np.int32), records["offset"]], schema=MESSAGES)
        offset = records["offset"].to_numpy()
        wanted = (begin <= offset) & (offset < end)
        self._tables.append(messages if wanted.all() else messages.filter(pa.array(wanted)))
        self._waiting, self._waiting_bytes = [], 0


def _read_on(
    consumer: KafkaConsumer, left: MutableMapping[TopicPartition, OffsetRange], messages: _Messages
) -> None:
    """Until nothing is left, or nothing comes for some seconds."""
    consumer.assign([])
    consumer.poll()  # drops what came ahead of time: the broker's log may have become another meanwhile
    consumer.assign([*left])
    for place, one in left.items():
        consumer.seek(place, one.begin)
    quiet = 0
    try:
        while left and quiet < _QUIET_POLLS:
            came = consumer.poll(_POLL_MS, _BATCHES_AT_A_TIME)
            for place, batches in came.items():
                messages.add(left[place], batches)
            for place in [*left]:  # also past batches in which there is no record
                _advance(left, place, consumer.position(place))
            consumer.assign([*left])
            quiet = 0 if came else quiet + 1
    except OffsetOutOfRangeError:
        pass
    if left:
        _skip_what_is_gone(consumer, left)


def _skip_what_is_gone(consumer: KafkaConsumer, left: MutableMapping[TopicPartition, OffsetRange]) -> None:
    bounds = broker.bounds(consumer, next(iter(left)).topic)
    for place, one in [*left.items()]:
        if place.partition not in bounds:
            raise UnknownTopicOrPartitionError(f"it does not know {place}")
        first, end = bounds[place.partition]
        if one.begin < first:
            _log.warning("the broker does not have these offsets any more", missing=one, first=first)
            _advance(left, place, first)
        elif one.begin >= end:
            raise LogCutOff(f"{place.topic}: the log ends at {end}, and {one} was to be read")


def _advance(left: MutableMapping[TopicPartition, OffsetRange], place: TopicPartition, offset: int) -> None:
    one = left[place]
    if offset >= one.end:
        del left[place]
    elif offset > one.begin:
        left[place] = replace(one, begin=offset)


def _bounded(values: pa.ChunkedArray, size: int) -> pa.ChunkedArray:
    longest = pc.max(pc.binary_length(values)).as_py()
    return values if (longest or 0) <= size else pc.binary_slice(values, 0, size)


@cache
def _consumer(bootstrap_servers: str) -> KafkaConsumer:
    """One a process: connecting takes longer than reading a small batch."""
    consumer = connect_reader(
        bootstrap_servers,
        auto_offset_reset="none",
        fetch_max_wait_ms=10,  # only what is there is waited for
        fetch_max_bytes=_FETCH_BYTES,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    return of_whole_batches(consumer)


def _forget_consumer(bootstrap_servers: str) -> None:
    if _consumer.cache_info().currsize:
        _consumer(bootstrap_servers).close()
        _consumer.cache_clear()
