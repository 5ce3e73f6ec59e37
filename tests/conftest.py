"""The real servers that tests need, each started once, when the first test asks for it.

They are always the tests' own, on free ports, whatever the environment names: a test never touches the database
or the broker of whoever runs it.
"""

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from model.program import running

from local import database, provision
from local.jars import BROKER, fetch
from local.java import Java, find_java
from local.ports import free_port

_SCHEMA_TEMPLATE = "schema_template"


@pytest.fixture(scope="session")
def cache_dir(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath / ".state" / "cache"


@pytest.fixture(scope="session")
def java(cache_dir: Path) -> Java:
    return find_java(cache_dir)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[database.Server]:
    server = database.Server(tmp_path_factory.mktemp("postgres"), free_port(), "tests", durable=False)
    runnable = database.prepare(server)
    try:
        log = server.folder / "server.log"
        with running(
            runnable.command, log, lambda: database.is_ready(server.dsn()), 60, signal.SIGINT, runnable.user
        ):
            yield server
    finally:
        database.forget(server.folder)


@pytest.fixture(scope="session")
def new_database(postgres_server: database.Server) -> Callable[[], str]:
    """Makes a fresh database with the schema applied at each call, and returns the superuser's DSN of it."""
    provision.apply_schema(provision.create_database(postgres_server.dsn(), _SCHEMA_TEMPLATE))
    numbers = itertools.count(1)

    def create() -> str:
        name = f"test_{next(numbers)}"
        _on_server(postgres_server, f"create database {name} template {_SCHEMA_TEMPLATE}")
        return postgres_server.dsn(name)

    return create


@pytest.fixture(scope="module")
def postgres_dsn(new_database: Callable[[], str]) -> str:
    """The superuser's DSN of a database with the schema applied, the module's own.

    Where a test needs one to itself, it calls `new_database`.
    """
    return new_database()


@pytest.fixture
def empty_database_dsn(postgres_server: database.Server, request: pytest.FixtureRequest) -> str:
    """The superuser's DSN of a database without the schema, the test's own."""
    name = f"empty_{abs(hash(request.node.nodeid))}"
    _on_server(postgres_server, f"create database {name} template template0")
    return postgres_server.dsn(name)


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path, java: Java
) -> Iterator[str]:
    from local import broker  # not above: it imports kafka-python, and this file is read before the filter is set

    one = broker.Broker(tmp_path_factory.mktemp("kafka"), free_port(), free_port())
    command = broker.prepare(one, java, fetch(BROKER, cache_dir, java))
    servers = one.bootstrap_servers
    with running(command, one.folder / "broker.log", lambda: broker.is_ready(servers), 90):
        yield servers


@pytest.fixture(scope="session")
def new_topic(kafka_bootstrap_servers: str) -> Callable[[], str]:
    """Makes a topic with the partitions that raw_trades has at each call, and returns its name."""
    from local import broker

    numbers = itertools.count(1)

    def create() -> str:
        name = f"raw_trades_{next(numbers)}"
        broker.create_topic(kafka_bootstrap_servers, name)
        return name

    return create


@pytest.fixture
def topic(new_topic: Callable[[], str]) -> str:
    """A topic of the test's own."""
    return new_topic()


def _on_server(server: database.Server, statement: str) -> None:
    connection = psycopg2.connect(server.dsn())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
