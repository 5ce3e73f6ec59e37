"""The demo's processes are run by supervisord: it starts them again when they end, and ends them in order.

http://supervisord.org/configuration.html
"""

import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]  # it carries no types

_COMES_UP_WITHIN_S = 20


class ProgramFailed(RuntimeError):
    """A program does not come up; the message names its log and ends with the log's last lines."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep running.

    name: of the process and of its log.
    command: runs it in the foreground.
    ready: whether it does its work, as seen from outside.
    ready_within_s: how long that may take.
    stop_signal: what ends it cleanly; stop_within_s: after that its process group is killed.
    user: whom it runs as, None for whoever runs the demo.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = field(compare=False)
    ready_within_s: float = 120  # many times what it takes: other work may keep the machine busy
    stop_signal: str = "TERM"
    stop_within_s: int = 20
    user: str | None = None


class Supervisor:
    """A running supervisord."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path, log_dir: Path) -> None:
        self._process = process
        self._socket = socket
        self._log_dir = log_dir

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def start(self, *programs: Program) -> None:
        """Starts programs together and waits until each is ready. Raises ProgramFailed."""
        for program in programs:
            self._call("startProcess", program.name, False)
        started_at = time.monotonic()
        for program in programs:
            while not program.ready():
                if self.states()[program.name] == "FATAL":
                    raise self.failure(program.name, "does not start")
                if time.monotonic() > started_at + program.ready_within_s:
                    raise self.failure(program.name, f"is not ready after {program.ready_within_s:g} s")
                time.sleep(0.2)

    def states(self) -> Mapping[str, str]:
        """What each program does in supervisord's words: RUNNING, BACKOFF (failed, is tried again), FATAL."""
        return {info["name"]: info["statename"] for info in self._call("getAllProcessInfo")}

    def failure(self, name: str, what: str) -> ProgramFailed:
        """The error that shows what the program said last."""
        log = self._log_dir / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
        return ProgramFailed("\n".join([f"{name} {what}; the end of {log}:", *lines]))

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


@contextmanager
def supervised(programs: Sequence[Program], folder: Path, environ: Mapping[str, str]) -> Iterator[Supervisor]:
    """A supervisord for as long as the context lasts; nothing runs under it until it is started.

    At the end the programs are stopped one after the other, the last of the sequence first, each when the one
    before it has ended. environ: of supervisord and all programs. The logs are in `folder`/logs.
    Raises ProgramFailed where supervisord itself does not come up.
    """
    log_dir = folder / "logs"
    log_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="crypto-pipeline-") as scratch:  # a socket's path must be short
        socket = Path(scratch) / "supervisor.sock"
        settings = folder / "supervisord.conf"
        settings.write_text(configuration(programs, folder, socket))
        said = log_dir / "supervisord.err"
        with said.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", settings],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # its own log has it
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends all in order
            )
        try:
            supervisor = Supervisor(process, socket, log_dir)
            deadline = time.monotonic() + _COMES_UP_WITHIN_S
            while not socket.exists():
                if not supervisor.is_alive() or time.monotonic() > deadline:
                    raise ProgramFailed(f"supervisord does not start; it said: {said.read_text()}")
                time.sleep(0.05)
            yield supervisor
        finally:
            process.terminate()
            process.wait()  # each program has its own limit, after which it is killed


def configuration(programs: Sequence[Program], folder: Path, socket: Path) -> str:
    """The text of supervisord.conf."""
    sections = [
        f"""\
[supervisord]
logfile={_escaped(folder / "logs" / "supervisord.log")}
pidfile={_escaped(folder / "supervisord.pid")}
childlogdir={_escaped(folder / "logs")}
nodaemon=true

[unix_http_server]
file={_escaped(socket)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    for place, program in enumerate(programs, start=1):
        # A program's priority is its place: supervisord stops the highest first. Each try comes a second later
        # than the one before, so 30 of them outlast a database that is away for minutes.
        user = f"user={program.user}\ndirectory=/\n" if program.user else ""
        sections.append(
            f"""\
[program:{program.name}]
command={_escaped(shlex.join(program.command))}
{user}priority={place}
autostart=false
autorestart=true
startsecs=3
startretries=30
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_within_s}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(folder / "logs" / f"{program.name}.log")}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""
        )
    return "\n".join(sections)


def _escaped(value: str | Path) -> str:
    return str(value).replace("%", "%%")
