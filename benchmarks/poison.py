"""Random bytes into a topic at a steady rate, over all its partitions, until SIGTERM. Fails where it was slower.

python -m benchmarks.poison SERVERS TOPIC RATE
"""

import signal
import sys
import threading
import time
from random import Random

from confluent_kafka import Producer

from benchmarks.messages import POISON_BYTES
from local.broker import PARTITIONS

_LOOK_EVERY_S = 0.005


def main() -> None:
    servers, topic, rate = sys.argv[1:]
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    random, sent, began = Random(1), 0, time.monotonic()
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    while not ending.wait(_LOOK_EVERY_S):
        due = int((time.monotonic() - began) * int(rate))
        for number in range(sent, due):
            producer.produce(topic, random.randbytes(POISON_BYTES), partition=number % PARTITIONS)
        sent = due
        producer.poll(0)
    took_s = time.monotonic() - began
    achieved = (sent - producer.flush(30)) / took_s
    if achieved < 0.95 * int(rate):
        raise SystemExit(f"only {achieved:,.0f} of {int(rate):,} messages a second could be published")


if __name__ == "__main__":
    main()
