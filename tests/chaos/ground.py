"""What a fault works on: the demo, its addresses, the simulated exchange, and chance."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from chaos.disk import Disk
from model.demo import Demo
from model.proxy import Proxy

from local.exchange.control import Control
from local.leftovers import mark


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a demo runs on that can be disturbed.

    binance, kucoin, broker, database: the ways of the demo's processes to each. disk: the database's own, None
    where no_disk says why there is none.
    """

    binance: Proxy
    kucoin: Proxy
    broker: Proxy
    database: Proxy
    disk: Disk | None
    no_disk: str = ""


@dataclass
class Ground:
    """What the faults of one chaos share.

    around: the demo. addresses: as `make env` prints them, with the database's own port.
    keys: (exchange, symbol) of all symbols.
    planted: (partition, offset) of the bad messages that faults put into the topic; False where another fault
    took them out of it, so that the job may never have seen them.
    """

    demo: Demo
    truth: Control
    around: Surroundings
    addresses: dict[str, str]
    keys: Sequence[tuple[str, str]]
    planted: dict[tuple[int, int], bool] = field(default_factory=dict)


@dataclass
class Site:
    """One fault's ground, with randomness of its own. notes: what exactly it hit, for the report."""

    ground: Ground
    random: Random
    notes: list[str] = field(default_factory=list)

    @property
    def demo(self) -> Demo:
        return self.ground.demo

    def note(self, what: str) -> None:
        self.notes.append(what)

    def symbols(self, exchange: str, at_most: int) -> list[str]:
        """Some symbols of an exchange."""
        known = [symbol for name, symbol in self.ground.keys if name == exchange]
        return sorted(self.random.sample(known, min(at_most, len(known))))

    @contextmanager
    def program(self, *command: str, **variables: str) -> Iterator[None]:
        """Another program of this project beside the demo, ended by SIGTERM."""
        addresses = self.ground.addresses
        environ = {
            **os.environ,
            **self.demo.environ,
            **addresses,
            **mark(self.demo.state_dir),
            "POSTGRES_DSN": addresses["POSTGRES_WRITER_DSN"],
            "SPARK_LOCAL_IP": "127.0.0.1",
            "METRICS_PORT": "0",
            "JOB_METRICS_PORT": "0",
            **variables,
        }
        log = self.demo.state_dir.parent / "beside.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environ, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
