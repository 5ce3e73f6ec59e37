"""Processes that are killed, frozen and ended, and a machine that has no time for them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from chaos.fault import FEED, REST, STREAM, Doing, Fault, fault
from chaos.ground import Site
from chaos.parts import PARTS, PROGRAMS, processes
from chaos.schedule import EVERYTHING

_BURNERS = 4  # processes that only count, twice as many as a small machine has cores

_AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer"}
# Parts whose death makes no trade miss the wire: what they do is done later.
_AFTER_KAFKA = set(PARTS) - {"producer"}
_SPARK = {"master", "worker", "driver", "executor", "Python worker"}


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


def _alerts(part: str) -> frozenset[str]:
    if part in _AIRFLOW:
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
        "CPU starved",
        f"{_BURNERS} processes take the CPU",
        starved,
        "machine",
        lasts_s=(15, 40),
        loses=True,  # who reads too slowly is cut off, or misses messages
        alerts=STREAM | FEED | REST,
    ),
]
