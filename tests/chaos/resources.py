"""What the parts of a running demo hold: memory, open files, connections, coverage."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from chaos.parts import PARTS, PartAway, processes
from model.demo import Demo

EVERY_S = 20.0

_CONNECTIONS = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
_COVERAGE = "select count(*), coalesce(sum((select count(*) from unnest(seen))), 0) from coverage"


@dataclass(frozen=True, slots=True)
class Holding:
    """What was held at a moment (seconds since 1970), by measure."""

    at_s: float
    held: dict[str, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """More of it at the end than at the beginning is a leak, beyond `times` as much and `slack` on top."""

    name: str
    times: float
    slack: float


def measures() -> list[Measure]:
    """All of them. Memory is what a process has made itself, and its part of what it shares."""
    return [
        *(Measure(f"MB of memory, {part}", 1.10, 20) for part in PARTS),
        *(Measure(f"open files, {part}", 1.05, 8) for part in PARTS),
        Measure("coverage rows", 1, 0),
        Measure("coverage ranges", 1, 4),
        Measure("Postgres connections", 1, 3),
    ]


def held(demo: Demo) -> Holding:
    """What is held now. A part that is away at the moment holds nothing."""
    found: dict[str, float] = {}
    for part in PARTS:
        with suppress(PartAway, psutil.Error):
            of_part = processes(demo, part)
            found[f"MB of memory, {part}"] = sum(_memory_mb(process) for process in of_part)
            found[f"open files, {part}"] = sum(_open_files(process) for process in of_part)
    [(found["Postgres connections"],)] = demo.query(_CONNECTIONS)
    [(rows, ranges)] = demo.query(_COVERAGE)
    found |= {"coverage rows": rows, "coverage ranges": float(ranges)}
    return Holding(time.time(), found)


@contextmanager
def holdings_taken(demo: Demo) -> Iterator[list[Holding]]:
    """The list grows for as long as the context lasts."""
    taken: list[Holding] = []
    ended = threading.Event()

    def take() -> None:
        while not ended.wait(EVERY_S):
            taken.append(held(demo))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()


def _memory_mb(process: psutil.Process) -> float:
    """What was made before a fork counts in both from the beginning; they share it until one of them touches it.

    Airflow's triggerer and its supervisor share 94 MB so, half of which came apart in the 40th minute of a soak.
    """
    with suppress(OSError):  # it ended
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes_kb = {name: int(size) for name, size, _ in map(str.split, lines)}
        return sum(sizes_kb[name] for name in ("Anonymous:", "Pss_File:", "Pss_Shmem:")) / 1024
    return 0.0


def _open_files(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.num_fds())
    return 0
