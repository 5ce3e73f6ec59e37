"""The job's kernel and its transaction in one process without Spark: the least that the work itself takes.

It reads with librdkafka, which fetches and unpacks in threads of its own.
"""

import threading
import time

import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition

from benchmarks.contenders.progress import tell
from spark_processor import kernel
from spark_processor.settings import JobSettings
from spark_processor.store import Store

_AT_A_TIME = 20_000


def main() -> None:
    settings = JobSettings()
    store = Store(settings.postgres_dsn, settings.kafka_topic, settings.lock_idle_s, threading.Event())
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "single process",
            "enable.auto.commit": False,
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 262_144,
            "fetch.message.max.bytes": 16 << 20,
        }
    )
    left = _assign_all(consumer, settings.kafka_topic)
    while left:
        messages = _read(consumer, min(left, settings.max_offsets_per_trigger))
        left -= messages.num_rows
        batch = store.commit([lambda coverage, messages=messages: kernel.evaluate(messages, coverage)])
        assert batch is not None
        tell(time.time(), batch.messages - batch.rejected)
    consumer.close()
    store.close()


def _assign_all(consumer: Consumer, topic: str) -> int:
    """Reads every partition from its beginning; returns how many messages there are."""
    numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    bounds = {number: consumer.get_watermark_offsets(TopicPartition(topic, number)) for number in numbers}
    consumer.assign([TopicPartition(topic, number, low) for number, (low, _) in bounds.items()])
    return sum(high - low for low, high in bounds.values())


def _read(consumer: Consumer, count: int) -> pa.Table:
    batches = []
    while count:
        messages = consumer.consume(min(count, _AT_A_TIME), timeout=1)
        count -= len(messages)
        columns = (
            [message.value() for message in messages],
            [message.key() for message in messages],
            [message.partition() for message in messages],
            [message.offset() for message in messages],
        )
        arrays = [pa.array(column, field.type) for column, field in zip(columns, kernel.MESSAGES, strict=True)]
        batches.append(pa.record_batch(arrays, schema=kernel.MESSAGES))
    return pa.Table.from_batches(batches)


if __name__ == "__main__":
    main()
