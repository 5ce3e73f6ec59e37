"""Backlogs of one broker for the job to work off, each with something else about it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2

from benchmarks.contenders import CONTENDERS
from benchmarks.measure import Measured, measure
from benchmarks.messages import INPUTS, fill
from benchmarks.servers import Server, running_broker, running_postgres
from local.broker import PARTITIONS
from local.provision import drop_database

SYMBOLS = 200

_CLEAN = INPUTS["clean"]


@dataclass(frozen=True)
class Backlogs:
    """A broker that holds them, a topic each, a database server, and the folder of all."""

    broker: Server
    postgres: Server
    folder: Path

    def add(
        self,
        messages: int,
        symbols: int = SYMBOLS,
        partitions: int = PARTITIONS,
        span_us: int = _CLEAN.span_us,
    ) -> str:
        """One more: its topic. span_us: how much of trading it holds."""
        topic = f"backlog_{messages}_{symbols}_{partitions}"
        folder = self.folder / topic
        folder.mkdir()
        kind = replace(_CLEAN, span_us=span_us)
        fill(self.broker.address, topic, messages, symbols, kind, folder, partitions)
        return topic

    def run_job(self, database: str, topic: str, batch: int, **variables: str) -> Measured:
        """The job over all of one, into a database that is made, if it is not there, and dropped.

        Raises SystemExit where a bar is wrong.
        """
        job, folder = CONTENDERS["job"], self.folder / topic
        variables |= {"KAFKA_TOPIC": topic}
        measured = measure(job, self.broker, self.postgres, database, folder, batch, **variables)
        drop_database(self.postgres.address, database)
        if measured.wrong:
            raise SystemExit(f"{measured.wrong} of {measured.bars} bars are wrong: {variables}")
        return measured


@contextmanager
def running_backlogs(folder: Path) -> Iterator[Backlogs]:
    """None yet; as long as the context lasts."""
    with running_broker(folder / "kafka") as broker, running_postgres(folder / "postgres") as postgres:
        yield Backlogs(broker, postgres, folder)


def open_holes(dsn: str, holes: int) -> None:
    """Coverage below the backlog's ids, none of which is under 1,000: each symbol has its share of holes there."""
    if holes % SYMBOLS:
        raise ValueError(f"{holes} holes among {SYMBOLS} symbols: each must have as many")
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            # the last hole of a symbol ends where its backlog begins
            """insert into coverage (exchange, symbol, seen, wanted)
               select 'binance', format('S%%s-USDT', to_char(number, 'FM0000')),
                      (select range_agg(int8range(2 * place, 2 * place + 1))
                       from generate_series(0, %(a_symbol)s - 1) as place),
                      int8multirange(int8range(0, null))
               from generate_series(0, %(symbols)s - 1) as number
               where %(a_symbol)s > 0""",
            {"a_symbol": holes // SYMBOLS, "symbols": SYMBOLS},
        )
