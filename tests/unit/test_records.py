"""Record batches taken apart as a whole, against kafka-python's own reading of them, record by record."""

import struct
from dataclasses import replace

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from spark_processor.records import CorruptBatch, RecordBatch, _WholeBatches, taken_apart

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PLACE = TopicPartition("trades", 5)
BASE_OFFSET = 2**40

Record = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes]]]

TEXT = st.none() | st.binary(max_size=300) | st.integers(0, 70_000).map(lambda size: b"x" * size)
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2)
RECORD = st.tuples(st.integers(0, 10**6), TEXT, TEXT, HEADERS)


def built(records: list[Record], codec: str) -> bytes:
    builder = MemoryRecordsBuilder(2, CODECS[codec], 1 << 30)
    for delay_ms, key, value, headers in records:
        builder.append(1_732_147_200_000 + delay_ms, key, value, headers)
    builder.close()
    return struct.pack(">q", BASE_OFFSET) + bytes(builder.buffer())[8:]


def fetched(log: bytes) -> _WholeBatches:
    return _WholeBatches(BASE_OFFSET, PLACE, MemoryRecords(log))


def unpacked(batch: bytes) -> RecordBatch:
    [one] = fetched(batch).take()
    assert isinstance(one, RecordBatch)
    return one


@settings(deadline=None)  # the first example pays for the imports
@given(st.lists(st.tuples(st.lists(RECORD, min_size=1, max_size=40), st.sampled_from(sorted(CODECS))), min_size=1))
def test_batches_are_what_their_records_are_one_by_one(batches: list[tuple[list[Record], str]]) -> None:
    sent = [built(records, codec) for records, codec in batches]
    expected = [record for batch in sent for record in MemoryRecords(batch).next_batch()]
    found = taken_apart([unpacked(batch) for batch in sent])
    assert found["offset"].to_pylist() == [record.offset for record in expected]
    assert found["key"].to_pylist() == [record.key for record in expected]
    assert found["value"].to_pylist() == [record.value for record in expected]


@given(st.lists(RECORD, min_size=1, max_size=5), st.data())
def test_a_batch_that_ends_too_early_is_corrupt(records: list[Record], data: st.DataObject) -> None:
    whole = unpacked(built(records, "none"))
    size = data.draw(st.integers(0, len(whole.records) - 1))
    with pytest.raises(
        CorruptBatch, match=rf"^trades, partition 5: the batch at offset {BASE_OFFSET} does not hold"
    ):
        taken_apart([replace(whole, records=whole.records[:size])])


def test_a_record_whose_parts_are_longer_than_itself_is_corrupt() -> None:
    whole = unpacked(built([(0, b"key", b"value", [])], "none"))
    longer = whole.records.replace(b"\x0avalue", b"\x0cvalue")
    assert longer != whole.records
    with pytest.raises(
        CorruptBatch, match=rf"^trades, partition 6: the batch at offset {BASE_OFFSET} does not hold"
    ):
        taken_apart([whole, replace(whole, place=TopicPartition("trades", 6), records=longer), whole])


@pytest.mark.parametrize("length", [b"\x05", b"\x85\x01", b"\x85\x80\x00"])
def test_a_record_of_negative_length_is_corrupt(length: bytes) -> None:
    whole = unpacked(built([(0, b"key", b"value", [])], "none"))
    with pytest.raises(CorruptBatch, match="does not hold what it says"):
        taken_apart([replace(whole, records=length + whole.records[1:])])


def test_a_control_batch_is_passed_over() -> None:
    log = bytearray(built([(0, b"key", b"value", [])], "none"))
    log[22] |= 0x20  # of the attributes, after offset, length, epoch, format and checksum
    log[17:21] = struct.pack(">I", crc32c(bytes(log[21:])))
    found = fetched(bytes(log))
    assert found.take() == []
    assert found.next_fetch_offset == BASE_OFFSET + 1
    assert not found


@pytest.mark.parametrize(
    ("codec", "place", "said"),
    [("zstd", -1, "is not as it was written: its checksum differs"), ("none", 16, "has format 3: ")],
)
def test_what_cannot_be_read_is_named_and_ends(codec: str, place: int, said: str) -> None:
    log = bytearray(built([(0, b"key", b"value", [])], codec))
    log[place] ^= 1
    found = fetched(bytes(log))
    with pytest.raises(CorruptBatch, match=rf"^trades, partition 5: the batch at offset {BASE_OFFSET} {said}"):
        found.take()
    assert not found


def test_what_is_not_compressed_as_it_says_is_named() -> None:
    log = bytearray(built([(0, b"key", b"value", [])], "none"))
    log[22] |= CODECS["zstd"]
    log[17:21] = struct.pack(">I", crc32c(bytes(log[21:])))
    with pytest.raises(
        CorruptBatch, match=rf"partition 5: the batch at offset {BASE_OFFSET} cannot be uncompressed: ZstdError"
    ):
        fetched(bytes(log)).take()
