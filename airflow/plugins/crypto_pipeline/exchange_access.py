"""What the tasks of the audit and history DAGs work with, for one exchange: opened and closed as one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto_pipeline.access import database, past
from crypto_pipeline.raw_trades import Publish, publishing
from crypto_pipeline.settings import PastSettings
from producer.bulk_files import BulkFiles
from producer.history import History

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# Whose share of the weight audit and history take: all their tasks together keep within it.
PART = "history"
# A limit or a short outage is waited for; a ban of hours is left to the next try of the task.
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Access:
    """publish: all that it was given is acknowledged at the end of the context."""

    settings: PastSettings
    db: "connection"
    past: History
    files: BulkFiles
    publish: Publish


@contextmanager
def access(exchange: str) -> Iterator[Access]:
    """Raises NotDelivered at its end, and psycopg2.Error."""
    settings = PastSettings()
    rest_url, share = settings.rest_url(exchange), settings.history_weight_share
    with (
        database() as db,
        past(exchange, rest_url, PART, share, PATIENCE_S) as history,
        BulkFiles(exchange, settings.bulk_url(exchange)) as files,
        publishing(settings.kafka_bootstrap_servers, settings.kafka_topic) as publish,
    ):
        yield Access(settings, db, history, files, publish)
