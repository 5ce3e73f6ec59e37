"""A broker and a database for a measurement, each in a folder of its own and gone with it."""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local import broker, database, provision
from local.jars import BROKER, FLINK, SPARK_CONNECTOR, fetch
from local.java import find_java
from local.ports import free_port

CACHE = Path(".state/cache")

_START_WITHIN_S = 90
_STOP_WITHIN_S = 300  # the database writes down first what it holds in memory
_LOG_SHOWN = 2000


@dataclass(frozen=True)
class Server:
    """address: a broker's bootstrap servers, or the DSN of a database's superuser. pid: its first process."""

    address: str
    pid: int


@contextmanager
def running_broker(folder: Path) -> Iterator[Server]:
    """A broker, as long as the context lasts."""
    java = find_java(CACHE)
    one = broker.Broker(folder, free_port(), free_port())
    command = broker.prepare(one, java, fetch(BROKER, CACHE, java))
    with _running(command, folder / "broker.log", lambda: broker.is_ready(one.bootstrap_servers)) as pid:
        yield Server(one.bootstrap_servers, pid)


@contextmanager
def running_postgres(folder: Path) -> Iterator[Server]:
    """A database server, as long as the context lasts."""
    server = database.Server(folder, free_port(), "benchmark")
    runnable = database.prepare(server)
    try:
        log = folder / "server.log"
        with _running(
            runnable.command, log, lambda: database.is_ready(server.dsn()), runnable.user, signal.SIGINT
        ) as pid:
            yield Server(server.dsn(), pid)
    finally:
        database.forget(folder)


def new_database(dsn: str, name: str) -> str:
    """The superuser's DSN of a database of that name with the schema applied."""
    own = provision.create_database(dsn, name)
    provision.apply_schema(own)
    return own


def spark_jars_dir() -> Path:
    """Where the jars of Spark's connector to Kafka are."""
    return fetch(SPARK_CONNECTOR, CACHE, find_java(CACHE))


def flink_jars_dir() -> Path:
    """Where the jars of Flink are."""
    return fetch(FLINK, CACHE, find_java(CACHE))


@contextmanager
def _running(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[int]:
    """The process's id, once it is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ},
            cwd="/" if user else None,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
        )
        try:
            deadline = time.monotonic() + _START_WITHIN_S
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} does not start: {log.read_text()[-_LOG_SHOWN:]}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.send_signal(stop_signal)
            process.wait(_STOP_WITHIN_S)
