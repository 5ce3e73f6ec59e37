"""The database goes away, drops its clients, has no room for them, or makes them wait."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg2
from chaos.fault import STREAM, Fault, fault
from chaos.ground import Site
from chaos.process_faults import restarted
from model.demo import wait_until

from local.database import is_ready

_CUTS_PER_S = 3


@contextmanager
def backends_terminated(site: Site) -> Iterator[None]:
    """Those that are in the middle of a transaction lose their session, again and again."""
    _wait_for_database(site)
    dsn = site.ground.addresses["POSTGRES_SUPERUSER_DSN"]
    ended = threading.Event()
    cut: list[str] = []

    def cut_off() -> None:
        connection = psycopg2.connect(dsn, connect_timeout=10)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                while not ended.wait(site.random.expovariate(_CUTS_PER_S)):
                    cursor.execute(
                        "select application_name, pg_terminate_backend(pid) from pg_stat_activity "
                        "where pid <> pg_backend_pid() and backend_type = 'client backend' "
                        "and xact_start is not null"
                    )
                    cut.extend(name for name, _ in cursor.fetchall())
        finally:
            connection.close()

    def cut_off_while_there() -> None:
        with suppress(psycopg2.Error):  # the server may go away by another fault
            cut_off()

    thread = threading.Thread(target=cut_off_while_there, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        site.note(f"{len(cut)} transactions, {cut.count('CryptoAnalytics')} of them the job's")


@contextmanager
def out_of_connections(site: Site) -> Iterator[None]:
    """Somebody takes every connection that there is for others than the superuser."""
    _wait_for_database(site)
    with ExitStack() as taken:
        count = 0
        with suppress(psycopg2.OperationalError):
            while True:
                connection = psycopg2.connect(site.ground.addresses["POSTGRES_DSN"], connect_timeout=10)
                taken.callback(connection.close)
                count += 1
        site.note(f"{count} connections")
        yield


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Another session holds the lock of the bars."""
    _wait_for_database(site)
    connection = psycopg2.connect(site.ground.addresses["POSTGRES_SUPERUSER_DSN"], connect_timeout=10)
    try:
        with connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '10s'")
            cursor.execute("select lock_bars()")
        yield
    finally:
        connection.close()


def _wait_for_database(site: Site) -> None:
    """Another fault may have ended it."""
    dsn = site.ground.addresses["POSTGRES_SUPERUSER_DSN"]
    wait_until(lambda: is_ready(dsn), 60, "the database takes connections")


FAULTS: list[Fault] = [
    fault(
        "database restarted",
        "it is stopped, away for a while, and started",
        restarted("database"),
        "database",
        lasts_s=(5, 25),
        alerts=STREAM,
    ),
    fault(
        "transactions cut",
        "the server ends sessions in the middle of their transactions",
        backends_terminated,
        "database",
        lasts_s=(8, 20),
        alerts=STREAM,
        brief=True,
    ),
    fault(
        "out of connections",
        "somebody holds every connection that the database has",
        out_of_connections,
        "database",
        lasts_s=(8, 25),
        alerts=STREAM,
        brief=True,
    ),
    fault(
        "bars locked",
        "another session holds the lock of bars and coverage",
        locked,
        "database",
        lasts_s=(8, 25),
        alerts=STREAM,
        brief=True,
    ),
]
