"""The Spark job's way from the topic into the database, in a thread of the tests, without Spark."""

from contextlib import closing
from threading import Event

from spark_processor.kernel import evaluate
from spark_processor.reader import read
from spark_processor.store import Store
from spark_processor.topic import Topic


def process(dsn: str, servers: str, topic_name: str, stopping: Event, running: Event) -> None:
    """Brings the topic into the database from its beginning, while `running` is set, until `stopping` is."""
    store, topic = Store(dsn, topic_name, 30, stopping), Topic(servers, topic_name, stopping)
    with closing(store), closing(topic):
        for ranges in topic.batches({}, 500_000, 0.1, once=False):
            while not running.wait(0.1):
                if stopping.is_set():
                    return
            messages = read(servers, topic_name, ranges)
            store.commit(ranges, [lambda coverage, messages=messages: evaluate(messages, coverage)])
