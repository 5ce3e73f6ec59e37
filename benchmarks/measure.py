"""One run of a contender over a backlog: what it cost, and how many of its bars are wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks.contenders import Contender, plain_bars, progress
from benchmarks.servers import CACHE, Server, new_database
from benchmarks.truth import wrong_bars
from benchmarks.usage import Usage
from local.java import find_java
from local.provision import create_database

TOPIC = "benchmark"

# A batch of the usual size, however it comes out of six partitions.
_WARM_UP_MESSAGES = 450_000


@dataclass(frozen=True)
class Measured:
    """What a run cost, after the first half million messages, which pay for the start of Java.

    cpu_us: user and system, of the contender's processes, a trade. broker_cpu_us, database_cpu_us: of the
    servers meanwhile. per_s: trades a second. peak_mb: memory (PSS). start_s: from the start of the process to
    where measuring begins. took_s: to the end. wrong, bars: how many bars are wrong of how many, if it writes any.
    """

    contender: str
    cpu_us: float
    broker_cpu_us: float
    database_cpu_us: float
    per_s: float
    peak_mb: float
    start_s: float
    took_s: float
    wrong: int | None
    bars: int | None


def measure(
    contender: Contender,
    broker: Server,
    postgres: Server,
    database: str,
    folder: Path,
    batch: int = 500_000,
    **variables: str,
) -> Measured:
    """Runs it over all of the topic, into a database of this name, which is made where it is not there.

    folder: where the input's trades are on disk, and room for what is written. batch: the most messages that it
    processes at a time, if it works in batches. variables: other settings.
    """
    own = _database(contender, postgres.address, database)
    environ = _environment(broker.address, own, folder) | {"MAX_OFFSETS_PER_TRIGGER": str(batch)} | variables
    module, *arguments = contender.command
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.contenders.{module}", *arguments]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    usage = Usage(process.pid)
    servers = [Usage(server.pid, memory=False) for server in (broker, postgres)]
    output = process.communicate()[0]
    for one in (usage, *servers):
        one.stop()
    if process.returncode:
        raise SystemExit(f"{contender.name} failed with exit code {process.returncode}")
    began_s, ended_s, messages = _measured_part(contender, progress.read(output))
    cpu_us = [(one.cpu_s_at(ended_s) - one.cpu_s_at(began_s)) / messages * 1e6 for one in (usage, *servers)]
    wrong, bars = wrong_bars(own, folder) if contender.bars else (None, None)
    return Measured(
        contender.name,
        *cpu_us,
        messages / (ended_s - began_s),
        usage.peak_mb,
        began_s - usage.began_s,
        ended_s - usage.began_s,
        wrong,
        bars,
    )


@contextmanager
def running_job(servers: str, dsn: str, folder: Path, trigger: str) -> Iterator[subprocess.Popen[bytes]]:
    """The job, as long as the context lasts. It ends with SystemExit where the job did not live so long."""
    command = [sys.executable, "-m", "spark_processor.job", "--trigger-interval", trigger]
    process = subprocess.Popen(command, env=_environment(servers, dsn, folder))
    try:
        yield process
        if process.poll() is not None:
            raise SystemExit(f"the job ended with exit code {process.returncode}")
    finally:
        process.terminate()
        process.wait(60)


def _measured_part(contender: Contender, steps: Sequence[tuple[float, int]]) -> tuple[float, float, int]:
    """From when to when is measured (seconds since 1970), and how many messages."""
    done = [*accumulate(messages for _, messages in steps)]
    begin = next((place for place, messages in enumerate(done) if messages >= _WARM_UP_MESSAGES), None)
    if begin is None or done[-1] - done[begin] < _WARM_UP_MESSAGES:
        raise SystemExit(f"{contender.name}: {done[-1:]} messages are too few to measure: more --messages")
    return steps[begin][0], steps[-1][0], done[-1] - done[begin]


def _environment(servers: str, dsn: str, folder: Path) -> dict[str, str]:
    """The settings of a job, or of a contender, on this machine."""
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPIC": TOPIC,
        "POSTGRES_DSN": dsn,
        "JAVA_HOME": str(find_java(CACHE).home),
        "SPARK_MASTER_URL": "local[2]",
        "JOB_METRICS_PORT": "0",
        "LOG_LEVEL": "WARNING",
    }


def _database(contender: Contender, dsn: str, name: str) -> str:
    if contender.proofs:
        return new_database(dsn, name)
    own = create_database(dsn, name)
    plain_bars.create(own)
    return own
