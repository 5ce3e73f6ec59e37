"""How much of a core the job takes while little or nothing is traded, all its processes together.

python -m benchmarks.idle [--rate 45] [--seconds 60] [--trigger "1 second"] [--keep]
"""

import argparse
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from benchmarks import results
from benchmarks.load import load
from benchmarks.measure import TOPIC, running_job
from benchmarks.servers import new_database, running_broker, running_postgres
from benchmarks.usage import Usage
from local.broker import create_topic

_START_WITHIN_S = 180
_WARM_UP_S = 30  # of Java, from the first batch on
_SETTLE_S = 10


@dataclass(frozen=True)
class Idle:
    """rate: trades a second. cores: CPU seconds a second."""

    rate: int
    trigger: str
    cores: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_broker(folder / "kafka") as broker, running_postgres(folder / "postgres") as postgres:
            create_topic(broker.address, TOPIC)
            own = new_database(postgres.address, "idle")
            with running_job(broker.address, own, folder, options.trigger) as job:
                usage = Usage(job.pid, memory=False)
                with load(broker.address, options.rate):
                    _wait_for_a_batch(own)
                    time.sleep(_WARM_UP_S)
                    little = _cores(usage, options.seconds)
                time.sleep(_SETTLE_S)
                nothing = _cores(usage, options.seconds)
                usage.stop()
    measured = [Idle(options.rate, options.trigger, little), Idle(0, options.trigger, nothing)]
    for one in measured:
        print(f"{one.rate} trades/s, trigger {one.trigger}: {one.cores:.2f} cores")
    results.keep(options, "idle", {"seconds": options.seconds}, measured)


def _wait_for_a_batch(dsn: str) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute("select exists (select from batches)")
            if cursor.fetchone() == (True,):
                return
            if time.monotonic() > deadline:
                raise SystemExit("the job commits nothing")
            time.sleep(1)


def _cores(usage: Usage, seconds: float) -> float:
    began = time.time()
    time.sleep(seconds)
    ended = time.time()
    return (usage.cpu_s_at(ended) - usage.cpu_s_at(began)) / (ended - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--rate", type=int, default=45)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--trigger", default="1 second")
    results.add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
