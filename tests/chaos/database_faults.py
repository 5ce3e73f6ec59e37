"""The database goes away, drops its clients, has no room for them or for data, or makes them wait."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import psycopg2
from chaos.fault import STREAM, Fault, fault
from chaos.ground import Site
from chaos.parts import JOB, ports_of
from chaos.process_faults import restarted
from model.demo import wait_until
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names its class in lower case

from local.database import is_ready

_CUTS_PER_S = 3
_FILLS_EVERY_S = 0.5
_LOOKS_EVERY_S = 0.002
_CUT_OFF = 0.5  # of the merges that are seen
_MERGING = r"""
    select pid, substring(query from 'insert into \w+|delete from \w+|copy \w+|mark_proven|COMMIT') as statement
    from pg_stat_activity
    where application_name = 'CryptoAnalytics' and state = 'active' and wait_event_type is distinct from 'Lock'
        and query ~ 'insert into|delete from|copy stage|mark_proven|COMMIT'
"""


@contextmanager
def backends_terminated(site: Site) -> Iterator[None]:
    """Those that are in the middle of a transaction lose their session, again and again."""
    cut: list[str] = []

    def cut_off(cursor: Cursor, ended: threading.Event) -> None:
        while not ended.wait(site.random.expovariate(_CUTS_PER_S)):
            cursor.execute(
                "select application_name, pg_terminate_backend(pid) from pg_stat_activity "
                "where pid <> pg_backend_pid() and backend_type = 'client backend' "
                "and xact_start is not null"
            )
            cut.extend(name for name, _ in cursor.fetchall())

    with _meanwhile(site, cut_off):
        yield
    site.note(f"{len(cut)} transactions, {cut.count('CryptoAnalytics')} of them the job's")


@contextmanager
def merges_cut(site: Site) -> Iterator[None]:
    """The job's session ends in the middle of a statement that stores its batch, every other time."""
    cut: list[str] = []

    def cut_off(cursor: Cursor, ended: threading.Event) -> None:
        while not ended.wait(_LOOKS_EVERY_S):
            cursor.execute(_MERGING)
            for pid, statement in cursor.fetchall():
                if site.random.random() < _CUT_OFF:
                    cursor.execute("select pg_terminate_backend(%s)", (pid,))
                    cut.append(statement)

    with _meanwhile(site, cut_off):
        yield
    site.note(f"{len(cut)} statements: {', '.join(sorted(set(cut)))}")


@contextmanager
def commits_unanswered(site: Site) -> Iterator[None]:
    """The job's connection ends when it has said `commit`: the batch is stored, and the job cannot know."""
    network = site.ground.around.database
    before = network.answers_lost
    network.end_after(b"COMMIT", ports_of(site.demo, JOB))
    try:
        yield
    finally:
        network.mend()
        site.note(f"{network.answers_lost - before} commits")


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
def full(site: Site) -> Iterator[None]:
    """Somebody fills the disk of its data, takes what it gives back, and lets it use up its journal's files.

    Where it can't add to a table, a statement fails; where it can't make a new file of its journal, it goes down.
    """
    disk = site.ground.around.disk
    assert disk is not None
    taken = [disk.fill()]

    def keep_full(ended: threading.Event) -> None:
        while not ended.wait(_FILLS_EVERY_S):
            taken.append(disk.fill())
            with suppress(psycopg2.Error):  # it goes away
                connection = psycopg2.connect(site.ground.addresses["POSTGRES_SUPERUSER_DSN"], connect_timeout=10)
                with closing(connection), connection.cursor() as cursor:
                    cursor.execute("select pg_switch_wal()")

    try:
        with _beside(keep_full):
            yield
    finally:
        disk.free()
        site.note(f"{taken[-1] / 2**20:,.0f} MB")


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


@contextmanager
def _meanwhile(site: Site, work: Callable[[Cursor, threading.Event], None]) -> Iterator[None]:
    """A session of the superuser works until the event is set, at the end of the context."""
    _wait_for_database(site)

    def run(ended: threading.Event) -> None:
        with suppress(psycopg2.Error):  # the server may go away by another fault
            connection = psycopg2.connect(site.ground.addresses["POSTGRES_SUPERUSER_DSN"], connect_timeout=10)
            connection.autocommit = True
            with closing(connection), connection.cursor() as cursor:
                work(cursor, ended)

    with _beside(run):
        yield


@contextmanager
def _beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Works in a thread until the event is set, at the end of the context."""
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


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
        "merges cut",
        "the server ends the job's session in the middle of a statement that stores a batch",
        merges_cut,
        "database",
        lasts_s=(8, 20),
        alerts=STREAM,
    ),
    fault(
        "commits unanswered",
        "the job's connection ends when it has said COMMIT, before the answer",
        commits_unanswered,
        "database",
        lasts_s=(5, 12),
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
        "database's disk full",
        "there is no room for data or for its journal",
        full,
        "database",
        lasts_s=(15, 30),
        alerts=STREAM,
        brief=True,
        needs_disk=True,
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
