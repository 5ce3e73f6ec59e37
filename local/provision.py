"""The database on a PostgreSQL server, the demo's own or another: made, marked, with its schema and its users."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password, parse_dsn

from local.database import is_ready

DATABASE = "crypto_data"
WRITER, READER, MONITOR = "crypto_pipeline_job", "crypto_pipeline_people", "crypto_pipeline_airflow"  # logins
SCHEMA_DIR = Path(__file__).parent.parent / "postgres" / "init"


class SchemaBroken(RuntimeError):
    """A file of the schema cannot be applied; the message names it and holds what PostgreSQL said."""


class DatabaseRefused(RuntimeError):
    """The database belongs to another source of trades; the message says what to do."""


def create_database(dsn: str, database: str = DATABASE) -> str:
    """Creates the database on the server that the DSN names, where it is not there yet; returns its own DSN.

    Raises psycopg2.Error, also where the DSN's user may not create one.
    """
    own = changed(dsn, dbname=database)
    if not is_ready(own):
        # made from the database that the DSN names, or the one that every server has
        maintenance = parse_dsn(dsn).get("dbname")
        maintenance = "postgres" if maintenance in (None, database) else maintenance
        _execute(
            changed(dsn, dbname=maintenance),
            sql.SQL("create database {} encoding 'UTF8' template template0").format(sql.Identifier(database)),
        )
    return own


def create_owned_database(dsn: str, name: str, password: str) -> None:
    """Creates a database and a user of the same name who owns it, with this password from now on.

    No other user may connect to it. Raises psycopg2.Error.
    """
    database = create_database(dsn, name)
    _set_login(database, name, password)
    _execute(database, sql.SQL("alter database {0} owner to {0}").format(sql.Identifier(name)))
    _execute(database, sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))


def drop_database(dsn: str, database: str) -> None:
    """Drops the database, with whoever is connected to it. Raises psycopg2.Error."""
    _execute(dsn, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))


def claim(dsn: str, source: str) -> None:
    """Marks the database as one source's.

    The mark is a setting of the database itself, so that it goes where the database goes. Raises DatabaseRefused
    where the database holds trades of another source, or of an unknown one.
    """
    found = _fetch(dsn, "select current_setting('crypto_pipeline.source', true), current_database()", ())
    mark, database = found[0]
    if mark == source:
        return
    if mark:
        raise DatabaseRefused(
            f"the database {database} holds trades of the source {mark}, which never mix with those of {source}: "
            "drop it, or name another server in POSTGRES_DSN"
        )
    tables = _fetch(dsn, "select 1 from pg_tables where schemaname = 'public' and tablename = 'coverage'", ())
    if tables and _fetch(dsn, "select 1 from coverage limit 1", ()):
        raise DatabaseRefused(
            f"the database {database} holds trades of a source that is not known here: drop it, or name another "
            "server in POSTGRES_DSN"
        )
    statement = sql.SQL("alter database {} set crypto_pipeline.source = {}")
    _execute(dsn, statement.format(sql.Identifier(database), sql.Literal(source)))


def apply_schema(dsn: str, schema_dir: Path = SCHEMA_DIR) -> None:
    """Applies the numbered SQL files, each in a transaction; they can be applied again. Raises SchemaBroken."""
    for file in sorted(schema_dir.glob("[0-9]*.sql")):
        try:
            _execute(dsn, file.read_text())
        except psycopg2.Error as error:
            raise SchemaBroken(f"{file.name}: {error}") from error


def set_up(superuser_dsn: str, identity: str, *, writer: str, reader: str, monitor: str) -> str:
    """Makes the database, or brings it up to date, and the logins of job, people and Airflow; the people's DSN.

    identity: of the source of trades. writer, reader, monitor: the passwords from now on.
    Raises DatabaseRefused, SchemaBroken, psycopg2.Error.
    """
    dsn = create_database(superuser_dsn)
    claim(dsn, identity)
    apply_schema(dsn)
    create_login(dsn, WRITER, writer, "crypto_writer")
    create_login(dsn, MONITOR, monitor, "crypto_monitor")
    return create_login(dsn, READER, reader, "crypto_reader")


def create_login(dsn: str, user: str, password: str, member_of: str) -> str:
    """A user who has the rights of a role of the schema, with this password from now on; returns the user's DSN.

    Raises psycopg2.Error.
    """
    _set_login(dsn, user, password)
    _execute(dsn, sql.SQL("grant {} to {}").format(sql.Identifier(member_of), sql.Identifier(user)))
    return changed(dsn, user=user, password=password)


def changed(dsn: str, **parts: str) -> str:
    """The DSN with other parts, as dbname or user, in the form of a URL: it needs no quotes in a shell."""
    known = {**parse_dsn(dsn), **parts}
    user, password, host, port, database = (
        quote(str(known.pop(name, "")), safe="") for name in ("user", "password", "host", "port", "dbname")
    )
    credentials = f"{user}:{password}@" if password else f"{user}@" if user else ""
    options = f"?{urlencode(known, quote_via=quote)}" if known else ""  # libpq takes a + for a +
    return f"postgresql://{credentials}{host}{':' if port else ''}{port}/{database}{options}"


def _set_login(dsn: str, user: str, password: str) -> None:
    exists = _fetch(dsn, "select 1 from pg_roles where rolname = %s", (user,))
    statement = sql.SQL("{} role {} login password {}").format(
        sql.SQL("alter" if exists else "create"), sql.Identifier(user), sql.Literal(_verifier(dsn, user, password))
    )
    _execute(dsn, statement)


def _verifier(dsn: str, user: str, password: str) -> str:
    """What the server keeps of a password: the statement that sets it stands in the logs of some servers."""
    connection = psycopg2.connect(dsn, connect_timeout=10)
    try:
        return str(encrypt_password(password, user, connection))
    finally:
        connection.close()


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
