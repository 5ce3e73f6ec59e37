"""`python -m containers.schema`: the service `schema`, which makes database, users, tables and topic at each `up`.

All of it can be done again on a running system: the schema's files are applied anew, and that is the upgrade.
"""

import sys
import time
from collections.abc import Callable

import psycopg2
from kafka.errors import KafkaError  # type: ignore[import-untyped]  # it carries no types

from containers.passwords import read
from containers.places import places
from containers.prepare import OWN
from containers.settings import ContainerSettings
from local import airflow, broker, provision, source
from local.database import is_ready

_WITHIN_S = 120.0


def main() -> int:
    settings, passwords = ContainerSettings(), read(OWN)
    where = places(settings, passwords)
    _wait("the database", lambda: is_ready(where.superuser_dsn))
    _wait(f"Kafka at {where.kafka}", lambda: broker.is_ready(where.kafka.split(",")[0]))
    try:
        provision.set_up(
            where.superuser_dsn,
            _mark(),
            writer=passwords.writer,
            reader=passwords.reader,
            monitor=passwords.monitor,
        )
        provision.create_owned_database(where.superuser_dsn, airflow.DATABASE, passwords.airflow_db)
        broker.create_topic(where.kafka, settings.kafka_topic)
    except (provision.DatabaseRefused, provision.SchemaBroken, psycopg2.Error, KafkaError) as error:
        sys.stderr.write(f"{error}\n".lstrip())
        return 1
    print("database, users, tables and topic are as they should be")  # noqa: T201 - a container's log
    return 0


def _mark() -> str:
    """Of the source that the service `settings` found."""
    return (OWN / source.IDENTITY_FILE).read_text().strip()


def _wait(what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not ready():
        if time.monotonic() > deadline:
            sys.exit(f"{what} has not answered for {_WITHIN_S:.0f} s")
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
