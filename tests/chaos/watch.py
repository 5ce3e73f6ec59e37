"""What can be seen from outside while faults strike: programs, freshness, missing ids, open alerts."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import psycopg2
from chaos.ground import Ground

EVERY_S = 2.0
_LATE_S = 15.0  # a symbol that trades every second has a trade in a bar so far back at most
_ANSWERS_WITHIN_S = 5.0

# What is missing and not yet concluded; what only candles could mend stays missing for good.
_TROUBLES = """
    select 'trades late', count(*) from latest_prices where traded_at < now() - make_interval(secs => %(late_s)s)
    union all
    select 'ids missing', count(*) from coverage
    where seen <> '{}' and wanted * int8multirange(int8range(null, upper(seen))) - seen - coalesce((
        select range_agg(ids) from gaps
        where gaps.exchange = coverage.exchange and gaps.symbol = coverage.symbol and ids is not null
            and state in ('verified', 'unfillable')
    ), '{}') <> '{}'
    union all
    select 'alert: ' || what, count(*) from alerts where closed_at is null group by what
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was amiss at a moment, in how many instances. lost: trades lost on the wire up to then."""

    at: datetime
    troubles: dict[str, int]
    lost: int


class Watch:
    """Looks every few seconds; `samples` is what it saw."""

    def __init__(self, ground: Ground) -> None:
        self.samples: list[Sample] = []
        self._ground = ground
        self._lost = 0
        self._ended = threading.Event()

    def run(self) -> None:
        connection = None
        while not self._ended.wait(EVERY_S):
            at, began = datetime.now(UTC), time.monotonic()
            troubles = self._programs()
            try:
                if connection is None or connection.closed:
                    connection = psycopg2.connect(self._ground.addresses["POSTGRES_DSN"], connect_timeout=5)
                with connection, connection.cursor() as cursor:
                    cursor.execute(_TROUBLES, {"late_s": _LATE_S})
                    troubles |= {name: count for name, count in cursor.fetchall() if count}
            except psycopg2.Error:
                troubles["no database"] = 1
            if time.monotonic() > began + _ANSWERS_WITHIN_S:
                troubles["no database"] = 1
            with suppress(httpx.HTTPError):
                self._lost = self._ground.truth.status()["lost"]
            self.samples.append(Sample(at, troubles, self._lost))
        if connection is not None:
            connection.close()

    def end(self) -> None:
        self._ended.set()

    def _programs(self) -> dict[str, int]:
        states = self._ground.demo.programs()
        return {f"{name} not running": 1 for name, (state, _) in states.items() if state != "RUNNING"}


@contextmanager
def watching(ground: Ground) -> Iterator[Watch]:
    """A watch for as long as the context lasts."""
    watch = Watch(ground)
    thread = threading.Thread(target=watch.run, name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
