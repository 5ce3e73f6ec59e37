"""What can happen between producer and database: to the topic, to the job; a second of each."""

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.fault import FEED, STREAM, Doing, Fault, fault
from chaos.ground import Site
from chaos.process_faults import frozen, restarted
from chaos.schedule import EVERYTHING
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from model.demo import wait_until
from model.market import no_trades

from local.broker import is_ready

_CUT_OFF_BYTES = 60_000


@contextmanager
def log_cut_off(site: Site) -> Iterator[None]:
    """The machine of the broker lost its power: the end of each partition was not on the disk yet."""
    site.demo.supervise("stop", "broker")
    try:
        _excuse_unread(site)
        log_dirs = site.demo.state_dir.glob("*/kafka/log")
        for log_dir in log_dirs:
            (log_dir / ".kafka_cleanshutdown").unlink(missing_ok=True)
            for partition in sorted(log_dir.glob(f"{site.ground.addresses['KAFKA_TOPIC']}-*")):
                newest = max(partition.glob("*.log"))
                size = newest.stat().st_size
                cut = site.random.randrange(_CUT_OFF_BYTES)
                with newest.open("r+b") as file:
                    file.truncate(max(0, size - cut))
                site.note(f"{partition.name}: {min(size, cut):,} bytes")
        yield
    finally:
        site.demo.supervise("start", "broker")


@contextmanager
def unread_dropped(site: Site) -> Iterator[None]:
    """The job hangs for longer than the broker keeps records."""
    with frozen("driver")(site):
        yield
        admin = KafkaAdminClient(bootstrap_servers=site.ground.addresses["KAFKA_BOOTSTRAP_SERVERS"])
        consumer = KafkaConsumer(bootstrap_servers=site.ground.addresses["KAFKA_BOOTSTRAP_SERVERS"])
        try:
            topic = site.ground.addresses["KAFKA_TOPIC"]
            ends = consumer.end_offsets([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
            _excuse_unread(site)
            admin.delete_records(ends)
        finally:
            consumer.close()
            admin.close()


@contextmanager
def bad_messages(site: Site) -> Iterator[None]:
    """Messages that are no trades, one of each kind that there is, between the others."""
    topic, servers = site.ground.addresses["KAFKA_TOPIC"], site.ground.addresses["KAFKA_BOOTSTRAP_SERVERS"]
    wait_until(lambda: is_ready(servers), 60, "the broker answers")  # another fault may have ended it
    [symbol] = site.symbols("binance", 1)
    producer = KafkaProducer(bootstrap_servers=servers)
    try:
        bad = list(no_trades("binance", symbol).values())
        sent = [producer.send(topic, value, key=f"binance:{symbol}".encode()) for value in bad]
        site.ground.planted |= {(told.partition, told.offset): True for told in (one.get(30) for one in sent)}
    finally:
        producer.close()
    site.note(f"{len(bad)} messages at {symbol}")
    yield


def second_job(*options: str) -> Doing:
    """The same job once more, beside the first."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        with site.program("spark_processor.job", *options, SPARK_MASTER_URL="local[1]"):
            yield

    return doing


@contextmanager
def second_producer(site: Site) -> Iterator[None]:
    """Every trade is published twice."""
    with site.program("producer"):
        yield


def _excuse_unread(site: Site) -> None:
    """Bad messages that the job has not read yet may be gone before it does."""
    rows = site.demo.query("select positions from batches order by batch_no desc limit 1")
    read = rows[0][0] if rows else {}
    for partition, offset in list(site.ground.planted):
        if offset >= read.get(str(partition), 0):
            site.ground.planted[partition, offset] = False


FAULTS: list[Fault] = [
    fault(
        "broker restarted",
        "it is stopped, away for a while, and started",
        restarted("broker"),
        "broker",
        lasts_s=(5, 25),
        alerts=STREAM,
    ),
    fault(
        "broker's log cut off",
        "the newest records of each partition are gone, as after a power failure",
        log_cut_off,
        EVERYTHING,
        loses=True,
        alerts=STREAM | FEED,
    ),
    fault(
        "unread dropped",
        "the job hangs, and the broker drops what it has not read",
        unread_dropped,
        *("broker", "driver", "job"),
        lasts_s=(8, 15),
        loses=True,
        alerts=STREAM | FEED,
    ),
    fault("bad messages", "messages that are no trades come into the topic", bad_messages, "broker", brief=True),
    fault("two jobs", "a second job works on the same bars", second_job(), "job", lasts_s=(30, 45), alerts=STREAM),
    fault(
        "all replayed",
        "a second job reads the topic from its beginning",
        second_job("--replay"),
        "job",
        lasts_s=(30, 45),
        alerts=STREAM,
    ),
    fault(
        "two producers",
        "a second producer publishes every trade again",
        second_producer,
        "producer",
        lasts_s=(15, 40),
        brief=True,
    ),
]
