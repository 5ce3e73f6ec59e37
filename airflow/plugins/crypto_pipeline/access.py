"""What a task of a DAG works with: the database of the pipeline, and the past of an exchange."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg2
from airflow.sdk import BaseHook

from crypto_pipeline.shared_budget import SharedBudget
from producer.history import History

if TYPE_CHECKING:
    from psycopg2.extensions import connection

POSTGRES_CONN_ID = "crypto_pipeline_postgres"
_CONNECT_TIMEOUT_S = 15


@contextmanager
def database(conn_id: str = POSTGRES_CONN_ID) -> "Iterator[connection]":
    """A connection to the pipeline's database, as the Airflow connection says, in UTC. Raises psycopg2.Error."""
    known = BaseHook.get_connection(conn_id)
    db = psycopg2.connect(
        host=known.host,
        port=known.port or 5432,
        user=known.login,
        password=known.password or None,
        dbname=known.schema,
        connect_timeout=_CONNECT_TIMEOUT_S,
        application_name="airflow",
        options="-c timezone=UTC",
        # a task whose network is cut must end within its time-out
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
    )
    try:
        yield db
    finally:
        db.close()


@contextmanager
def past(
    exchange: str, base_url: str, part: str, weight_share: float, patience_s: float = 60
) -> Iterator[History]:
    """An exchange's past over REST, within what `part` may spend in all its tasks together.

    The budget has a connection of its own, since it is asked in the middle of other transactions.
    """
    with database() as db:
        budget = SharedBudget(db, exchange, part, weight_share)
        with History(
            exchange, base_url, weight_share=weight_share, patience_s=patience_s, budget=budget
        ) as history:
            yield history
