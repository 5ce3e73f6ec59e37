"""Trades to a real broker: nothing is lost while it is away, and the bound of the buffer holds."""

import gc
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.partitioner import murmur2
from structlog.testing import capture_logs

from local import broker
from local.jars import BROKER, fetch
from local.java import Java
from local.ports import free_port
from producer.metrics import Health, Metrics
from producer.publisher import Publisher, PublisherClosed
from producer.trade import Trade, message_key, to_wire

# kafka-python leaves the sockets of failed connects to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TOPIC = "raw_trades"
NOW_US = time.time_ns() // 1000


class RestartableBroker:
    """A broker that the tests may stop, kill and freeze."""

    def __init__(self, command: list[str], servers: str, log: Path) -> None:
        self.command, self.servers, self.log = command, servers, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output, start_new_session=True)

    def ensure(self) -> None:
        """Running and ready, whatever the last test did."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        until(lambda: broker.is_ready(self.servers), 90)

    def end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)


@pytest.fixture(scope="module")
def own_broker(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path, java: Java
) -> Iterator[RestartableBroker]:
    one = broker.Broker(tmp_path_factory.mktemp("kafka"), free_port(), free_port(), heap_mb=256)
    command = broker.prepare(one, java, fetch(BROKER, cache_dir, java))
    running = RestartableBroker(command, one.bootstrap_servers, one.folder / "broker.log")
    yield running
    running.end(signal.SIGKILL)


@pytest.fixture
def topic(own_broker: RestartableBroker, request: pytest.FixtureRequest) -> str:
    own_broker.ensure()
    name = f"{TOPIC}_{abs(hash(request.node.nodeid))}"
    broker.create_topic(own_broker.servers, name)
    return name


@pytest.fixture
def publish(own_broker: RestartableBroker) -> Iterator[Callable[..., Publisher]]:
    """Starts a publisher to a topic."""
    started: list[Publisher] = []

    def start(topic: str, buffer_bytes: int = 2**26, stuck_after_s: float = 60) -> Publisher:
        publisher = Publisher(
            own_broker.servers,
            topic,
            buffer_bytes=buffer_bytes,
            metrics=Metrics(),
            health=Health(["binance"], 60),
            stuck_after_s=stuck_after_s,
        )
        publisher.start()
        started.append(publisher)
        return publisher

    yield start
    for publisher in started:
        publisher.close(0)
    gc.collect()  # what kafka-python left open is complained about here, not in another module


def until(condition: Callable[[], object], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def trades(first_id: int, count: int, symbol: str = "BTC-USDT") -> list[Trade]:
    one = Trade("binance", symbol, 1, 0, Decimal("67000.01"), Decimal("0.001"), "buy", NOW_US, NOW_US, "ws")
    return [
        replace(one, trade_id=i, prev_trade_id=i - 1 if i else None) for i in range(first_id, first_id + count)
    ]


def delivered(servers: str, topic: str) -> dict[int, list[tuple[bytes, bytes]]]:
    """Keys and values of all records, by partition."""
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(places)
    ends = consumer.end_offsets(places)
    records: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    while any(consumer.position(place) < end for place, end in ends.items()):
        for place, batch in consumer.poll(timeout_ms=200).items():
            records[place.partition] += [(record.key, record.value) for record in batch]
    consumer.close()
    return dict(records)


def values(records: dict[int, list[tuple[bytes, bytes]]]) -> list[bytes]:
    return [value for partition in records.values() for _, value in partition]


def first_times(sent: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(sent))


def test_trades_arrive_keyed_once_in_order_and_where_kafka_would_put_them(
    own_broker: RestartableBroker, topic: str, publish: Callable[..., Publisher]
) -> None:
    publisher = publish(topic)
    symbols = ["BTC-USDT", "ETH-USDT", "TRX-USDT", "币安人生-USDT"]
    for first_id in range(0, 3000, 100):
        for symbol in symbols:
            publisher.put(trades(first_id, 100, symbol))
    assert publisher.close(30) == 0
    records = delivered(own_broker.servers, topic)
    expected: dict[int, dict[bytes, list[bytes]]] = defaultdict(dict)
    for symbol in symbols:
        key = message_key("binance", symbol)
        expected[(murmur2(key) & 0x7FFFFFFF) % 6][key] = [to_wire(trade) for trade in trades(0, 3000, symbol)]
    by_key = {
        partition: {key: [value for k, value in sent if k == key] for key in {key for key, _ in sent}}
        for partition, sent in records.items()
    }
    assert by_key == dict(expected)


def test_what_the_contract_cannot_hold_is_left_out_and_the_rest_arrives(
    own_broker: RestartableBroker, topic: str, publish: Callable[..., Publisher]
) -> None:
    publisher = publish(topic)
    good, bad = trades(1, 2)[0], replace(trades(2, 1)[0], price=Decimal("NaN"))
    publisher.put([bad])
    publisher.put([good, bad])
    assert publisher.close(30) == 0
    assert values(delivered(own_broker.servers, topic)) == [to_wire(good)]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_that_comes_back_loses_nothing(
    own_broker: RestartableBroker, topic: str, publish: Callable[..., Publisher], how: signal.Signals
) -> None:
    publisher = publish(topic)
    stop, sent = threading.Event(), []

    def stream() -> None:
        for first_id in range(0, 10**9, 20):
            sent.append(trades(first_id, 20))
            publisher.put(sent[-1])
            if stop.wait(0.02):
                return

    thread = threading.Thread(target=stream)
    thread.start()
    until(lambda: len(sent) > 20, 10)
    own_broker.end(how)
    away_from = len(sent)
    until(lambda: len(sent) > away_from + 100, 20)
    own_broker.ensure()
    back_at = len(sent)
    until(lambda: len(sent) > back_at + 50, 20)
    stop.set()
    thread.join()
    assert publisher.close(60) == 0
    expected = [to_wire(trade) for batch in sent for trade in batch]
    assert first_times(values(delivered(own_broker.servers, topic))) == expected


def test_at_the_bound_reading_stops_and_nothing_is_dropped(
    own_broker: RestartableBroker, topic: str, publish: Callable[..., Publisher]
) -> None:
    publisher = publish(topic, buffer_bytes=2**20)
    publisher.put(trades(0, 10))
    until(lambda: publisher.buffered() == (0, 0), 20)
    own_broker.end(signal.SIGTERM)
    batches = [trades(first_id, 100) for first_id in range(10, 10_010, 100)]
    done: list[int] = []

    def stream() -> None:
        for batch in batches:
            publisher.put(batch)
            done.append(len(batch))

    thread = threading.Thread(target=stream, daemon=True)
    thread.start()
    until(lambda: publisher.buffered()[1] >= 2**20, 10)
    held = len(done)
    thread.join(1)
    assert (len(done), thread.is_alive()) == (held, True)
    assert publisher.buffered()[1] < 2**20 + 100_000  # one batch more than the bound
    own_broker.ensure()
    thread.join(30)
    assert publisher.close(30) == 0
    expected = [to_wire(trade) for batch in [trades(0, 10), *batches] for trade in batch]
    assert first_times(values(delivered(own_broker.servers, topic))) == expected


def test_a_broker_that_hangs_gets_everything_again_from_a_new_producer(
    own_broker: RestartableBroker, topic: str, publish: Callable[..., Publisher]
) -> None:
    publisher = publish(topic, stuck_after_s=2)
    publisher.put(trades(0, 10))
    until(lambda: publisher.buffered() == (0, 0), 20)
    assert own_broker.process is not None
    own_broker.process.send_signal(signal.SIGSTOP)
    try:
        for first_id in range(10, 1010, 100):
            publisher.put(trades(first_id, 100))
        restarts = publisher._metrics.registry
        until(lambda: restarts.get_sample_value("producer_kafka_producers_total"), 20)
    finally:
        own_broker.process.send_signal(signal.SIGCONT)
    assert publisher.close(60) == 0
    expected = [to_wire(trade) for trade in trades(0, 1010)]
    assert sorted(first_times(values(delivered(own_broker.servers, topic)))) == sorted(expected)


def test_a_stop_without_a_broker_says_how_much_stayed(
    own_broker: RestartableBroker, topic: str, publish: Callable[..., Publisher]
) -> None:
    publisher = publish(topic)
    publisher.put(trades(0, 10))
    until(lambda: publisher.buffered() == (0, 0), 20)
    own_broker.end(signal.SIGTERM)
    publisher.put(trades(10, 123))
    started_at = time.monotonic()
    assert publisher.close(2) == 123
    assert time.monotonic() - started_at < 10
    with pytest.raises(PublisherClosed):
        publisher.put(trades(200, 1))


def test_a_broker_that_is_not_there_yet_is_waited_for(
    own_broker: RestartableBroker, topic: str, publish: Callable[..., Publisher]
) -> None:
    own_broker.end(signal.SIGTERM)
    publisher = publish(topic)
    publisher.put(trades(0, 50))
    own_broker.ensure()
    until(lambda: publisher.buffered() == (0, 0), 30)
    assert values(delivered(own_broker.servers, topic)) == [to_wire(trade) for trade in trades(0, 50)]


def test_a_missing_topic_is_said_and_waited_for(
    own_broker: RestartableBroker, publish: Callable[..., Publisher]
) -> None:
    own_broker.ensure()
    with capture_logs() as said:
        publisher = publish("not_there_yet")
        publisher.put(trades(0, 50))
        until(lambda: said, 30)
    assert said[0] == {
        "event": "the broker has no such topic, waiting: create it with 6 partitions",
        "log_level": "warning",
        "servers": own_broker.servers,
        "topic": "not_there_yet",
        "buffered_trades": 50,
        "buffered_mb": 0.0,
    }
    broker.create_topic(own_broker.servers, "not_there_yet")
    until(lambda: publisher.buffered() == (0, 0), 30)
    assert len(values(delivered(own_broker.servers, "not_there_yet"))) == 50
