"""A task's reading of a real broker's topic: exactly its ranges, whatever became of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Timer

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from model.program import running
from model.proxy import proxy

from local import broker
from local.broker import create_topic
from local.jars import BROKER, fetch
from local.java import Java
from local.ports import free_port
from producer.trade import MAX_MESSAGE_BYTES
from spark_processor import reader
from spark_processor.kernel import KEPT_BYTES, MESSAGES
from spark_processor.offsets import OffsetRange
from spark_processor.reader import LogCutOff, NothingCame, read
from spark_processor.topic import Topic, TopicUnavailable


@pytest.fixture
def send(kafka_bootstrap_servers: str, topic: str) -> Iterator[Callable[..., None]]:
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap_servers, max_request_size=2 << 20)

    def sent(partition: int, *values: bytes | None, key: bytes | None = None) -> None:
        for value in values:
            producer.send(topic, value, key, partition=partition)
        producer.flush()

    yield sent
    producer.close()


@pytest.fixture(autouse=True)
def _no_consumer_is_left(kafka_bootstrap_servers: str) -> Iterator[None]:
    yield
    reader._forget_consumer(kafka_bootstrap_servers)


def numbered(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def offsets(servers: str, topic: str, *ranges: OffsetRange) -> dict[int, list[int]]:
    messages = read(servers, topic, ranges)
    assert messages.schema == MESSAGES
    found: dict[int, list[int]] = {one.partition: [] for one in ranges}
    for row in messages.to_pylist():
        assert row["value"] == str(row["offset"]).encode()
        found[row["partition"]].append(row["offset"])
    return found


def test_it_reads_the_ranges_and_nothing_else(
    kafka_bootstrap_servers: str, topic: str, send: Callable[..., None]
) -> None:
    for partition in range(3):
        send(partition, *numbered(3000))
    first, second = OffsetRange(0, 100, 2900), OffsetRange(2, 0, 1)
    for _ in range(2):  # with the same consumer
        found = offsets(kafka_bootstrap_servers, topic, first, second)
        assert found == {0: list(range(100, 2900)), 2: [0]}


def test_of_what_the_broker_dropped_it_reads_the_rest(
    kafka_bootstrap_servers: str, topic: str, send: Callable[..., None]
) -> None:
    for partition in range(2):
        send(partition, *numbered(100))
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    admin.delete_records({TopicPartition(topic, 0): 40, TopicPartition(topic, 1): 60})
    admin.close()
    found = offsets(kafka_bootstrap_servers, topic, OffsetRange(0, 10, 50), OffsetRange(1, 10, 50))
    assert found == {0: list(range(40, 50)), 1: []}


def test_a_log_that_ends_before_the_range_is_not_taken_for_read(
    kafka_bootstrap_servers: str, topic: str, send: Callable[..., None]
) -> None:
    send(0, *numbered(10))
    for asked in (OffsetRange(0, 5, 20), OffsetRange(0, 15, 20)):
        with pytest.raises(LogCutOff, match=r"the log ends at 10, and OffsetRange\(partition=0, .* end=20\)"):
            read(kafka_bootstrap_servers, topic, [asked])


def test_what_the_broker_does_not_know_is_not_taken_for_dropped(
    kafka_bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_PATIENCE_S", 1)
    with pytest.raises(NothingCame, match=r"nothing came .* of no_such_topic .*it does not know"):
        read(kafka_bootstrap_servers, "no_such_topic", [OffsetRange(0, 0, 10)])


def test_keys_and_values_are_as_they_were_sent_but_no_longer_than_needed(
    kafka_bootstrap_servers: str, topic: str, send: Callable[..., None]
) -> None:
    send(3, None, b"", b"short", b"v" * 900_000, key=b"k" * 20_000)
    send(3, b"without a key")
    read_back = read(kafka_bootstrap_servers, topic, [OffsetRange(3, 0, 5)])
    long = b"v" * (MAX_MESSAGE_BYTES + 1)
    assert read_back["value"].to_pylist() == [None, b"", b"short", long, b"without a key"]
    assert read_back["key"].to_pylist() == [b"k" * KEPT_BYTES] * 4 + [None]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_however_it_is_compressed_it_is_read(kafka_bootstrap_servers: str, topic: str, codec: str) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap_servers, compression_type=codec, linger_ms=1000)
    for value in numbered(100):
        producer.send(topic, value, partition=0)
    producer.close()
    assert offsets(kafka_bootstrap_servers, topic, OffsetRange(0, 10, 100)) == {0: list(range(10, 100))}


def test_the_marks_of_a_transaction_are_passed_over(kafka_bootstrap_servers: str, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap_servers, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"0", partition=0)
    producer.commit_transaction()
    producer.close()
    began = time.monotonic()
    assert offsets(kafka_bootstrap_servers, topic, OffsetRange(0, 0, 2)) == {0: [0]}
    assert time.monotonic() - began < reader._PATIENCE_S


def test_what_was_fetched_ahead_of_a_log_that_is_replaced_is_not_taken_for_the_new_one(
    kafka_bootstrap_servers: str, topic: str, send: Callable[..., None]
) -> None:
    for value in numbered(100):
        send(0, value)
    assert offsets(kafka_bootstrap_servers, topic, OffsetRange(0, 0, 50)) == {0: list(range(50))}
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    admin.delete_topics([topic])
    admin.close()
    create_topic(kafka_bootstrap_servers, topic)
    send(0, *([b"new"] * 100))
    assert read(kafka_bootstrap_servers, topic, [OffsetRange(0, 50, 60)])["value"].to_pylist() == [b"new"] * 10


def test_a_broker_that_goes_away_meanwhile_is_waited_for(java: Java, cache_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with proxy(port) as network:
        own = broker.Broker(tmp_path / "kafka", port, free_port(), advertised_port=network.port)
        command = broker.prepare(own, java, fetch(BROKER, cache_dir, java))
        servers = own.bootstrap_servers
        with running(command, tmp_path / "broker.log", lambda: broker.is_ready(servers), 90):
            create_topic(servers, "trades")
            producer = KafkaProducer(bootstrap_servers=servers)
            for value in numbered(10):
                producer.send("trades", value, partition=0)
            producer.close()
            assert offsets(servers, "trades", OffsetRange(0, 0, 5)) == {0: list(range(5))}
            network.cut()
            later = Timer(3, network.mend)
            later.start()
            assert offsets(servers, "trades", OffsetRange(0, 5, 10)) == {0: list(range(5, 10))}
            later.join()
            reader._forget_consumer(servers)


def test_a_broker_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_PATIENCE_S", 1)
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(
        NothingCame, match=rf"nothing came from {nobody} of trades \[OffsetRange\(.*Connection refused"
    ):
        read(nobody, "trades", [OffsetRange(0, 0, 1)])
    topic = Topic(nobody, "trades", Event(), patience_s=0)
    with pytest.raises(TopicUnavailable, match=rf"no answer from {nobody} \(KAFKA_BOOTSTRAP_SERVERS\)"):
        next(topic.batches({}, 1, 1, once=True))


def test_a_topic_that_is_not_there_is_named(kafka_bootstrap_servers: str) -> None:
    said = r"there is no topic no_such_topic on .*: create it, or set KAFKA_TOPIC"
    topic = Topic(kafka_bootstrap_servers, "no_such_topic", Event(), patience_s=0)
    with closing(topic), pytest.raises(TopicUnavailable, match=said):
        next(topic.batches({}, 1, 1, once=True))


def test_batches_begin_where_the_last_one_ended_and_at_the_earliest_offset_where_that_is_gone(
    kafka_bootstrap_servers: str, topic: str, send: Callable[..., None]
) -> None:
    for partition in range(3):
        send(partition, *numbered(10))
    stopping = Event()
    with closing(Topic(kafka_bootstrap_servers, topic, stopping)) as asked:
        batches = asked.batches({0: 4, 1: 11}, 1000, 0, once=False)
        assert next(batches)[:3] == [OffsetRange(0, 4, 10), OffsetRange(1, 0, 10), OffsetRange(2, 0, 10)]
        send(2, *numbered(5))
        assert next(batches) == [OffsetRange(2, 10, 15)]
        stopping.set()
        assert list(batches) == []


def test_once_gives_all_that_there_is_in_batches_and_ends(
    kafka_bootstrap_servers: str, topic: str, send: Callable[..., None]
) -> None:
    send(0, *numbered(10))
    send(1, *numbered(5))
    with closing(Topic(kafka_bootstrap_servers, topic, Event())) as asked:
        batches = asked.batches({}, 6, 0, once=True)
        first = next(batches)
        send(0, *numbered(10))  # too late
        given = [*first, *(one for batch in batches for one in batch)]
    for partition, end in ((0, 10), (1, 5)):
        own = [one for one in given if one.partition == partition]
        assert own[0].begin == 0
        assert own[-1].end == end
        assert [one.end for one in own[:-1]] == [one.begin for one in own[1:]]
