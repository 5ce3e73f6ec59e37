"""The Spark job's way from the topic into the database, in a thread of the tests, without Spark."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

from spark_processor import reader
from spark_processor.kernel import evaluate
from spark_processor.store import Store
from spark_processor.topic import Topic

_END_WITHIN_S = 60  # longer than a read waits for the broker


@contextmanager
def job_in_thread(dsn: str, servers: str, topic: str) -> Iterator[Event]:
    """Brings the topic into the database as long as the context lasts, while the event that it gives is set."""
    running, stopping = Event(), Event()
    running.set()
    thread = Thread(target=_process, args=(dsn, servers, topic, running, stopping), name="job")
    thread.start()
    try:
        yield running
    finally:
        stopping.set()
        thread.join(_END_WITHIN_S)
        assert not thread.is_alive()


def _process(dsn: str, servers: str, name: str, running: Event, stopping: Event) -> None:
    store, topic = Store(dsn, name, 30, stopping), Topic(servers, name, stopping)
    try:
        with closing(store), closing(topic):
            for ranges in topic.batches({}, 500_000, 0.1, once=False):
                while not running.wait(0.1):
                    if stopping.is_set():
                        return
                messages = reader.read(servers, name, ranges)
                store.commit(ranges, [lambda coverage, messages=messages: evaluate(messages, coverage)])
    finally:
        reader._forget_consumer(servers)
