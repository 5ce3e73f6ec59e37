"""The processes of a demo that ended without ending them, known by a mark in their environment.

Everything that a demo starts inherits the mark, also what Spark starts in turn; a process id alone would be
somebody else's by the time it is read from a file.
"""

import signal
from collections.abc import Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it carries no types

MARK = "CRYPTO_PIPELINE_DEMO"

_ORDERLY_WITHIN_S = 240


def mark(state_dir: Path) -> dict[str, str]:
    """What goes into the environment of every process of the demo of this folder.

    SPT_NOENV: else setproctitle, by which Airflow names its API server, writes the name over the environment.
    """
    return {MARK: str(state_dir.resolve()), "SPT_NOENV": "1"}


def find(state_dir: Path) -> list[psutil.Process]:
    """The processes that carry the mark of this folder."""
    wanted = str(state_dir.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # it ended meanwhile, or is not ours to look at
            continue
    return found


def end(state_dir: Path, within_s: float = 30) -> int:
    """Ends all processes that carry the mark, as orderly as is still possible; returns how many there were.

    within_s: how long one that no supervisor ends may take before it is killed.
    """
    processes = find(state_dir)
    supervisors = [process for process in processes if _runs(process, "supervisor.supervisord")]
    _signal(supervisors, signal.SIGTERM, _ORDERLY_WITHIN_S)  # it ends the others in order
    rest = find(state_dir)
    # SIGTERM would let a database wait for its clients
    databases = [process for process in rest if _runs(process, "postgres")]
    _signal([process for process in rest if process not in databases], signal.SIGTERM, within_s)
    _signal(databases, signal.SIGINT, within_s)
    _signal(find(state_dir), signal.SIGKILL, within_s)
    return len(processes)


def _runs(process: psutil.Process, name: str) -> bool:
    try:
        return any(Path(word).name == name for word in process.cmdline()[:3])
    except psutil.Error:
        return False


def _signal(processes: Sequence[psutil.Process], number: signal.Signals, within_s: float) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=within_s)
