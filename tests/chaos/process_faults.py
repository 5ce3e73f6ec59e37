"""Processes that are killed, frozen and ended, and a machine that has no time or no memory for them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from chaos.fault import FEED, REST, STREAM, Doing, Fault, fault
from chaos.ground import Site
from chaos.parts import AIRFLOW, JOB, PARTS, PROGRAMS, PartAway, processes
from chaos.schedule import EVERYTHING

_BURNERS = 4  # processes that only count, twice as many as a small machine has cores
_SHORT_OF_MEMORY = 3  # programs at a time
_MEMORY_LEFT_KB = (100.0, 4000.0)

# Parts whose death makes no trade miss the wire: what they do is done later.
_AFTER_KAFKA = set(PARTS) - {"producer"}
_SPARK = {"master", "worker", *JOB}


def killed(part: str) -> Doing:
    """SIGKILL to the part's own process; supervisord, the worker or Airflow starts it again."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        process = processes(site.demo, part)[0]
        site.note(f"process {process.pid}")
        process.kill()
        yield

    return doing


def frozen(part: str) -> Doing:
    """SIGSTOP to the part and what it started, later SIGCONT: it hangs, and its connections stay open."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        stopped = processes(site.demo, part)
        site.note(f"{len(stopped)} processes")
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    return doing


def restarted(program: str) -> Doing:
    """Stopped in order, away for a while, started again."""

    @contextmanager
    def doing(site: Site) -> Iterator[None]:
        site.demo.supervise("stop", program)
        try:
            yield
        finally:
            site.demo.supervise("start", program)

    return doing


@contextmanager
def all_terminated(site: Site) -> Iterator[None]:
    """SIGTERM to every program of the demo, in any order, without waiting for one before the next."""
    order = site.random.sample(PROGRAMS, len(PROGRAMS))
    site.note(", ".join(order))
    for program in order:
        number = signal.SIGINT if program == "database" else signal.SIGTERM
        processes(site.demo, program)[0].send_signal(number)
    yield


@contextmanager
def starved(site: Site) -> Iterator[None]:
    """Processes that take the CPU from all others."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(_BURNERS)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def short_of_memory(site: Site) -> Iterator[None]:
    """Some programs, and what they start meanwhile, get hardly more memory than they have: allocations fail.

    As with `ulimit -d`, so no other process of the machine is touched, and none is killed for another's sake.
    """
    parts = site.random.sample(PROGRAMS, _SHORT_OF_MEMORY)
    allowed_kb = round(site.random.uniform(*_MEMORY_LEFT_KB))
    site.note(f"{', '.join(parts)}: {allowed_kb:,} kB more")
    try:
        for process in _with_all_started(site, parts):
            with suppress(psutil.Error):
                _limit_data(process, str(process.memory_info().data + allowed_kb * 1000))
        yield
    finally:
        for process in _with_all_started(site, parts):
            _limit_data(process, "unlimited")


def _with_all_started(site: Site, parts: Sequence[str]) -> list[Any]:
    """The parts' processes, and all that they started: of the worker, driver and executor too."""
    found = []
    for part in parts:
        with suppress(PartAway, psutil.Error):
            process = processes(site.demo, part)[0]
            found += [process, *process.children(recursive=True)]
    return found


def _limit_data(process: Any, soft: str) -> None:
    """Sets how much memory for data a process may have, by its own user, who alone may without more rights."""
    with suppress(psutil.NoSuchProcess):
        user = process.uids().real
        command = ["prlimit", f"--pid={process.pid}", f"--data={soft}:"]
        told = subprocess.run(
            command, user=None if user == os.geteuid() else user, capture_output=True, text=True, check=False
        )
        if told.returncode != 0 and process.is_running():
            raise RuntimeError(f"{' '.join(command)}: {told.stderr.strip()}")


def _alerts(part: str) -> frozenset[str]:
    if part in AIRFLOW:
        return frozenset()
    if part == "producer":
        return FEED
    return STREAM


# Deaths that are made up for within seconds; a Spark driver takes half a minute on two cores.
_BRIEF = {"producer", "broker", "Python worker", "database", "scheduler"}

FAULTS: list[Fault] = [
    *(
        fault(
            f"{part} killed",
            "its process dies by SIGKILL",
            killed(part),
            *({part, "job"} if part in _SPARK else {part}),
            loses=part not in _AFTER_KAFKA,
            alerts=_alerts(part),
            brief=part in _BRIEF,
        )
        for part in PARTS
    ),
    *(
        fault(
            f"{part} frozen",
            "its processes hang (SIGSTOP), then go on",
            frozen(part),
            *({part, "job"} if part in _SPARK else {part}),
            lasts_s=(8, 30),
            loses=part not in _AFTER_KAFKA,
            alerts=_alerts(part) | (FEED if part == "broker" else frozenset()),
        )
        for part in PARTS
    ),
    fault(
        "all terminated",
        "every program gets SIGTERM, in any order",
        all_terminated,
        EVERYTHING,
        loses=True,
        alerts=STREAM | FEED | REST,
    ),
    fault(
        "memory short",
        f"{_SHORT_OF_MEMORY} programs get no more memory than they have, but for some kB",
        short_of_memory,
        "machine",
        lasts_s=(15, 40),
        loses=True,
        alerts=STREAM | FEED | REST,
    ),
    fault(
        "CPU starved",
        f"{_BURNERS} processes take the CPU",
        starved,
        "machine",
        lasts_s=(15, 40),
        loses=True,  # who reads too slowly is cut off, or misses messages
        alerts=STREAM | FEED | REST,
    ),
]
