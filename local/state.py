"""What the demo keeps beside the data: who runs it, its passwords, and the addresses that others may join at."""

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

_LOCK, _ADDRESSES, _PASSWORDS = "demo.lock", "addresses.env", "passwords.json"


class AlreadyRunning(RuntimeError):
    """Another demo uses this state folder; the message holds its process id."""


@dataclass(frozen=True, slots=True)
class Passwords:
    """Of the demo's users of the database; spark: the key to the master's submissions."""

    superuser: str
    writer: str
    reader: str
    monitor: str
    airflow: str
    spark: str


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """The state folder for this process alone; the kernel lets go of it however the process ends.

    Raises AlreadyRunning.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise AlreadyRunning(
                f"a demo runs already (process {file.read().strip()}, folder {state_dir}): end it with Ctrl-C "
                "there, or run a second one with another DEMO_STATE_DIR and other ports"
            ) from error
        (state_dir / _ADDRESSES).unlink(missing_ok=True)  # of a demo that was killed
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def passwords(folder: Path) -> Passwords:
    """The source's passwords, each made up when it is first asked for."""
    file = folder / _PASSWORDS
    kept = json.loads(file.read_text()) if file.exists() else {}
    chosen = Passwords(**{f.name: kept.get(f.name) or secrets.token_urlsafe(32) for f in fields(Passwords)})
    if asdict(chosen) != kept:
        folder.mkdir(parents=True, exist_ok=True)
        _write_closed(file, json.dumps(asdict(chosen)))
    return chosen


@contextmanager
def published(state_dir: Path, addresses: Mapping[str, str]) -> Iterator[None]:
    """Lets `running_addresses` answer for as long as the context lasts."""
    file = state_dir / _ADDRESSES
    _write_closed(file, "".join(f"{name}={shlex.quote(value)}\n" for name, value in addresses.items()))
    try:
        yield
    finally:
        file.unlink()


def running_addresses(state_dir: Path) -> str | None:
    """The addresses and credentials of the running demo as shell assignments; None where none runs."""
    try:
        with (state_dir / _LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # what a killed demo left says nothing of now
    except FileNotFoundError:
        return None
    except BlockingIOError:
        file_of_running = state_dir / _ADDRESSES
        return file_of_running.read_text() if file_of_running.exists() else None


def _write_closed(file: Path, text: str) -> None:
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
    unfinished.replace(file)
