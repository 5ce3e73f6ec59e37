"""The parts of a running demo that a fault can hit, and their processes."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil
from model.demo import Demo
from model.proxy import Concerned

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
PROGRAMS = ("producer", "broker", "database", "master", "worker", *AIRFLOW)
# What the Spark worker starts, by a word of its command line.
_OF_THE_WORKER = {
    "driver": "org.apache.spark.deploy.worker.DriverWrapper",
    "executor": "org.apache.spark.executor.CoarseGrainedExecutorBackend",
    "Python worker": "spark_processor.daemon",
}
_COMES_BACK_WITHIN_S = 20.0
JOB = tuple(_OF_THE_WORKER)
PARTS = (*PROGRAMS, *JOB)


class PartAway(Exception):
    """The part does not run at the moment, so nothing can be done to it."""


def processes(demo: Demo, part: str) -> list[Any]:
    """The part's own process first, then those that it started and that are no parts themselves.

    Waits for a part that another fault has ended. Raises PartAway.
    """
    deadline = time.monotonic() + _COMES_BACK_WITHIN_S
    while True:
        try:
            return _processes(demo, part)
        except PartAway:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def ports_of(demo: Demo, parts: Sequence[str]) -> Concerned:
    """Of local ports, those of connections of the parts' processes, also of those that they start later."""

    def concerned(ports: Collection[int]) -> Collection[int]:
        if not ports:
            return ()
        programs = {pid: name for name, (_, pid) in demo.programs().items() if pid}
        return {
            found.laddr.port
            for found in psutil.net_connections("tcp")
            if found.pid and found.laddr.port in ports and _part_of(found.pid, programs) in parts
        }

    return concerned


def _part_of(pid: int, programs: Mapping[int, str]) -> str | None:
    """The part that a process is of, by itself or its nearest ancestor that is one."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.parents()):
            words = _command(one)
            for part, word in _OF_THE_WORKER.items():
                if word in words:
                    return part
            if one.pid in programs:
                return programs[one.pid]
    return None


def _processes(demo: Demo, part: str) -> list[Any]:
    with suppress(psutil.Error):
        if part in PROGRAMS:
            state, pid = demo.programs()[part]
            if pid:
                process = psutil.Process(pid)
                return [process, *([] if part == "worker" else process.children(recursive=True))]
            raise PartAway(f"{part} is {state}")
        started = _processes(demo, "worker")[0].children(recursive=True)
        for process in started:
            if _OF_THE_WORKER[part] in _command(process):
                return [process, *_own_children(process, part)]
    raise PartAway(f"{part} does not run")


def _own_children(process: Any, part: str) -> list[Any]:
    """Without the Python daemon of the executor and what it started."""
    children = process.children(recursive=True)
    if part != "executor":
        return children
    daemons = [child for child in children if _OF_THE_WORKER["Python worker"] in _command(child)]
    apart = {child.pid for daemon in daemons for child in [daemon, *daemon.children(recursive=True)]}
    return [child for child in children if child.pid not in apart]


def _command(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
