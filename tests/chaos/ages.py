"""How old the trades are when their bars can be read: from `received_at` to visible in Postgres."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress

import orjson
import psycopg2
from kafka import KafkaConsumer, TopicPartition

_LOOK_EVERY_S = 0.02

Key = tuple[str, str]


class Ages:
    """Reads the topic beside the job, and the database as often as a batch is committed.

    taken: (when, age) of every trade, both in seconds, from the first batch on that it saw.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.taken: list[tuple[float, float]] = []
        self._addresses = addresses
        self._received: dict[Key, deque[tuple[int, float]]] = {}
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def read_topic(self) -> None:
        topic = self._addresses["KAFKA_TOPIC"]
        with closing(KafkaConsumer(bootstrap_servers=self._addresses["KAFKA_BOOTSTRAP_SERVERS"])) as consumer:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            consumer.assign(partitions)
            consumer.seek_to_end(*partitions)
            while not self._ended.is_set():
                for records in consumer.poll(timeout_ms=500).values():
                    for record in records:
                        trade = orjson.loads(record.value)
                        waiting = self._received.setdefault((trade["exchange"], trade["symbol"]), deque())
                        waiting.append((trade["trade_id"], trade["received_at_us"] / 1e6))

    def watch_database(self) -> None:
        with closing(psycopg2.connect(self._addresses["POSTGRES_DSN"])) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                seen_batch = None
                while not self._ended.wait(_LOOK_EVERY_S):
                    cursor.execute("select max(batch_no) from batches")
                    [batch] = cursor.fetchone()
                    if batch != seen_batch:
                        seen_batch = batch
                        cursor.execute("select exchange, symbol, trade_id from latest_prices")
                        newest, now = cursor.fetchall(), time.time()
                        for exchange, symbol, trade_id in newest:
                            self._take(now, self._received.get((exchange, symbol)), trade_id)

    def _take(self, now: float, waiting: deque[tuple[int, float]] | None, trade_id: int) -> None:
        with suppress(IndexError):  # none is waiting any more
            while waiting is not None and waiting[0][0] <= trade_id:
                self.taken.append((now, now - waiting.popleft()[1]))


@contextmanager
def ages_taken(addresses: Mapping[str, str]) -> Iterator[Ages]:
    """Takes ages for as long as the context lasts."""
    ages = Ages(addresses)
    threads = [threading.Thread(target=work, daemon=True) for work in (ages.read_topic, ages.watch_database)]
    for thread in threads:
        thread.start()
    try:
        yield ages
    finally:
        ages.end()
        for thread in threads:
            thread.join()
