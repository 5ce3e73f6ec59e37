"""The job's reader, kernel and transaction in one process without Spark: the least that the work itself takes."""

import threading
import time
from contextlib import closing

from benchmarks.contenders.progress import tell
from spark_processor import kernel
from spark_processor.reader import read
from spark_processor.settings import JobSettings
from spark_processor.store import Store
from spark_processor.topic import Topic


def main() -> None:
    settings = JobSettings()
    stopping = threading.Event()
    servers, name = settings.kafka_bootstrap_servers, settings.kafka_topic
    store = Store(settings.postgres_dsn, name, settings.lock_idle_s, stopping)
    with closing(store), closing(Topic(servers, name, stopping)) as topic:
        for ranges in topic.batches({}, settings.max_offsets_per_trigger, 0, once=True):
            messages = read(servers, name, ranges)
            batch = store.commit(ranges, [lambda coverage, messages=messages: kernel.evaluate(messages, coverage)])
            tell(time.time(), batch.messages - batch.rejected)


if __name__ == "__main__":
    main()
