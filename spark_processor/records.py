"""Kafka's record batches to Arrow, without an object a record.

kafka-python, which speaks the protocol, makes a dozen calls for each record; here many batches are taken apart at
once. Their form: https://kafka.apache.org/documentation/#record
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from kafka import KafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from kafka.consumer.fetcher import Fetcher  # type: ignore[import-untyped]
from numpy.typing import NDArray

_Numbers = NDArray[np.int64]


class CorruptBatch(RuntimeError):
    """A batch of records cannot be read; the message says which. To skip it would lose trades in silence."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """A batch of records, uncompressed. offset: the last one's, as kafka-python asks of what it hands out."""

    place: TopicPartition
    offset: int
    base_offset: int
    count: int
    records: bytes


def of_whole_batches(consumer: KafkaConsumer) -> KafkaConsumer:
    """The consumer, which from now on gives each `RecordBatch` where it gave single records."""
    consumer._fetcher.PartitionRecords = _WholeBatches
    return consumer


def taken_apart(batches: Sequence[RecordBatch]) -> pa.Table:
    """The offset, key and value of each record of all batches, as they come. Raises CorruptBatch."""
    counts = [batch.count for batch in batches]
    sizes = [len(batch.records) for batch in batches]
    data = b"".join(batch.records for batch in batches)
    begins = np.fromiter((begin for batch in batches for begin in _begins(batch)), np.int64, sum(counts))
    begins += np.repeat(np.cumsum([0, *sizes[:-1]]), counts)
    try:
        bytes_ = np.frombuffer(data, np.uint8)
        _, at = _varints(bytes_, begins)  # the length
        _, at = _varints(bytes_, at + 1)  # the attributes, a byte, and the time of sending say nothing
        offsets, at = _varints(bytes_, at)
        key_lengths, keys = _varints(bytes_, at)
        value_lengths, values = _varints(bytes_, keys + np.maximum(key_lengths, 0))
        if (values + np.maximum(value_lengths, 0) >= np.append(begins[1:], len(data))).any():
            raise IndexError  # the number of headers, at least, comes after the value
    except IndexError as error:
        for one in batches if len(batches) > 1 else ():
            taken_apart([one])  # says which it is
        raise _corrupt(batches[0]) from error
    offsets += np.repeat([batch.base_offset for batch in batches], counts)
    return pa.table(
        {
            "offset": pa.array(offsets),
            "key": _parts(data, keys, key_lengths),
            "value": _parts(data, values, value_lengths),
        }
    )


class _WholeBatches(Fetcher.PartitionRecords):  # type: ignore[misc]
    """A part of kafka-python 3.0.12: what one answer of the broker holds of a partition.

    Its `take` draws from this iterator and then goes on at `next_fetch_offset`; `drain` ends it, also after an
    error, or `take` would be asked for ever. Of the rest, what it counts and the leader's epoch, nothing is used.
    It raises CorruptBatch.
    """

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: Any) -> Iterator[RecordBatch]:
        try:
            while (batch := records.next_batch()) is not None:
                data = _uncompressed(tp, batch)
                self.next_fetch_offset = batch.next_offset
                if batch.records_count and not batch.is_control_batch:
                    yield RecordBatch(tp, batch.last_offset, batch.base_offset, batch.records_count, data)
        finally:
            self.drain()


def _uncompressed(place: TopicPartition, batch: Any) -> bytes:
    where = _where(place, batch.base_offset)
    if batch.magic != 2:
        raise CorruptBatch(f"{where} has format {batch.magic}: brokers since Kafka 4 have none but 2")
    if not batch.validate_crc():
        raise CorruptBatch(f"{where} is not as it was written: its checksum differs")
    try:
        batch._maybe_uncompress()
    except Exception as error:
        raise CorruptBatch(f"{where} cannot be uncompressed: {error!r}") from error
    return bytes(memoryview(batch._buffer)[batch._pos :])


def _corrupt(batch: RecordBatch) -> CorruptBatch:
    return CorruptBatch(f"{_where(batch.place, batch.base_offset)} does not hold what it says")


def _where(place: TopicPartition, base_offset: int) -> str:
    return f"{place.topic}, partition {place.partition}: the batch at offset {base_offset}"


def _begins(batch: RecordBatch) -> list[int]:
    """Where each record begins, with its length. Only who knows where one ends knows where the next begins."""
    data, at, begins = batch.records, 0, []
    try:
        while at < len(data):
            begins.append(at)
            low = data[at]
            if low & 1:  # zigzag: below 0
                raise IndexError
            if low < 0x80:
                at += 1 + (low >> 1)
            elif (high := data[at + 1]) < 0x80:
                at += 2 + (((low & 0x7F) | high << 7) >> 1)
            else:
                length, behind = _varints(np.frombuffer(data, np.uint8), np.array([at]))
                at = int(behind[0] + length[0])
    except IndexError:
        at = -1
    if at != len(data) or len(begins) != batch.count:
        raise _corrupt(batch)
    return begins


def _varints(data: NDArray[np.uint8], at: _Numbers) -> tuple[_Numbers, _Numbers]:
    """The zigzag numbers that begin at these places, and the places behind them."""
    byte = data[at]
    at = at + 1
    value = (byte & 0x7F).astype(np.int64)
    shift, more = 7, np.flatnonzero(byte >= 0x80)
    while more.size:
        byte = data[at[more]]
        at[more] += 1
        value[more] |= (byte & 0x7F).astype(np.int64) << shift
        shift, more = shift + 7, more[byte >= 0x80]
    return (value >> 1) ^ -(value & 1), at


def _parts(data: bytes, begins: _Numbers, lengths: _Numbers) -> pa.Array:
    """The parts of these lengths, null where that is below 0. No part begins before the one before it ends."""
    ends = begins + np.maximum(lengths, 0)
    bounds = np.column_stack((begins, ends)).ravel()
    with_gaps = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), bounds.size - 1, [None, pa.py_buffer(bounds), pa.py_buffer(data)]
    )
    return with_gaps.take(pa.array(np.arange(0, bounds.size, 2), mask=lengths < 0)).cast(pa.binary())
