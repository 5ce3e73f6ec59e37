"""Starts the simulator as a process of its own, for tests and benchmarks, and stops it again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.exchange.control import Control
from local.ports import free_port

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0


class SimulatorDidNotStart(RuntimeError):
    """The process ended or did not answer in time; the message holds its log."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator: its REST address, its WebSocket address, its process and its control interface."""

    url: str
    ws_url: str
    process: subprocess.Popen[bytes]
    control: Control
    log: Path


@contextmanager
def simulator(state_dir: Path, port: int | None = None, **settings: object) -> Iterator[Simulator]:
    """A simulator on a free port, or the given one, that answers; stopped at the end.

    settings: those of `ExchangeSettings`, as speed=50.0; lists as comma-separated text.
    Raises SimulatorDidNotStart.
    """
    port = port or free_port()
    chosen = {f"EXCHANGE_{name.upper()}": str(value) for name, value in settings.items()}
    bare = {name: value for name, value in os.environ.items() if not name.startswith("EXCHANGE_")}
    state_dir.mkdir(parents=True, exist_ok=True)
    log = state_dir / "exchange.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.exchange"],
            env=bare | chosen | {"EXCHANGE_PORT": str(port), "EXCHANGE_STATE_DIR": str(state_dir)},
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with Control(url) as control:
            _wait(process, control, log)
            yield Simulator(url, f"ws://127.0.0.1:{port}", process, control, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)  # a test may have stopped it
            process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], control: Control, log: Path) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            control.status()
            return
        except httpx.TransportError as error:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise SimulatorDidNotStart(f"{log}: {log.read_text()[-2000:]}") from error
            time.sleep(0.05)
