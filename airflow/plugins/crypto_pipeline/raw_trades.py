"""Trades of the past onto the topic `raw_trades`, and the wait until the Spark job has taken them in."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crypto_pipeline.id_ranges import Ids, multirange
from crypto_pipeline.statements import statement
from producer.metrics import Health, Metrics
from producer.publisher import Publisher
from producer.trade import Trade

if TYPE_CHECKING:
    from psycopg2.extensions import connection

Publish = Callable[[Sequence[Trade]], None]

_BUFFER_BYTES = 64 << 20
_FLUSH_S = 120.0


class NotDelivered(RuntimeError):
    """The broker did not take all trades in time; the message says how many it did not."""


@contextmanager
def publishing(bootstrap_servers: str, topic: str, flush_s: float = _FLUSH_S) -> Iterator[Publish]:
    """A function that publishes trades of one exchange; at the end all are acknowledged. Raises NotDelivered."""
    metrics = Metrics()
    publisher = Publisher(
        bootstrap_servers, topic, buffer_bytes=_BUFFER_BYTES, metrics=metrics, health=Health((), float("inf"))
    )
    publisher.start()
    try:
        yield publisher.put
    finally:
        undelivered = publisher.close(flush_s)
    if undelivered:
        raise NotDelivered(
            f"{undelivered} trades are not acknowledged by {bootstrap_servers} within {flush_s:.0f} s: look at "
            "the broker, then clear the task"
        )


def missing_of(db: "connection", exchange: str, symbol: str, ids: Ids) -> list[tuple[int, int]]:
    """Which of these ids coverage has not seen, as ranges in order."""
    values = {"exchange": exchange, "symbol": symbol, "ids": multirange(ids)}
    with db, db.cursor() as cursor:
        cursor.execute(statement("missing_of"), values)
        return [(first, last) for first, last in cursor.fetchall()]


def wait_until_seen(
    db: "connection", exchange: str, symbol: str, ids: Ids, patience_s: float, poll_s: float = 0.5
) -> list[tuple[int, int]]:
    """Waits until coverage has seen these ids, for as long as it sees more of them; returns what it has not.

    patience_s: how long nothing may change.
    """
    missing, changed_at = missing_of(db, exchange, symbol, ids), time.monotonic()
    while missing and time.monotonic() < changed_at + patience_s:
        time.sleep(poll_s)
        now = missing_of(db, exchange, symbol, missing)
        if now != missing:
            missing, changed_at = now, time.monotonic()
    return missing
