"""How old a trade is when its bar can be read: from `received_at` to visible in Postgres.

    python -m benchmarks.latency [--rate 2000] [--seconds 60] [--trigger "1 second"] [--symbols 200]
        [--poison 10000] [--keep]

Publishes trades at a steady rate through the contract's writer, and looks at the database every few milliseconds
for the newest trade of each symbol, which is committed with its bar. All trades of so many seconds count, also
those that become visible after them; not those of the half minute from the first batch on, in which Java warms up.
--poison: so many messages of random bytes a second stand among the trades.
"""

import argparse
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from benchmarks import results
from benchmarks.load import load
from benchmarks.measure import TOPIC, running_job
from benchmarks.servers import new_database, running_broker, running_postgres
from local.broker import create_topic

_START_WITHIN_S = 180
_WARM_UP_S = 30
_LOOK_EVERY_S = 0.005
_VISIBLE_WITHIN_S = 60


@dataclass(frozen=True)
class Latency:
    """From `received_at` to visible in Postgres.

    rate: trades a second. poison: messages of random bytes a second. trades: how many were looked at.
    """

    rate: int
    poison: int
    trigger: str
    trades: int
    p50_s: float
    p95_s: float
    p99_s: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_broker(folder / "kafka") as broker, running_postgres(folder / "postgres") as postgres:
            create_topic(broker.address, TOPIC)
            own = new_database(postgres.address, "latency")
            with running_job(broker.address, own, folder, options.trigger):
                ages_s = _measure(broker.address, own, options)
    ages_s.sort()
    found = Latency(
        *(options.rate, options.poison, options.trigger, len(ages_s)),
        *(ages_s[min(len(ages_s) - 1, int(len(ages_s) * part))] for part in (0.5, 0.95, 0.99)),
    )
    print(f"{found.rate} trades/s, trigger {found.trigger}: {found.trades} trades", flush=True)
    print(
        f"received to visible: p50 {found.p50_s:.2f} s, p95 {found.p95_s:.2f} s, p99 {found.p99_s:.2f} s",
        flush=True,
    )
    name = f"latency_{found.rate}_{found.trigger.replace(' ', '_')}{'_poisoned' if found.poison else ''}"
    results.keep(options, name, {"symbols": options.symbols, "seconds": options.seconds}, [found])


def _measure(servers: str, dsn: str, options: argparse.Namespace) -> list[float]:
    """The age in seconds at which each trade that counts became visible."""
    visible: dict[str, int] = {}
    ages_s: list[float] = []
    counted_from = counted_until = time.time() + _START_WITHIN_S
    last: dict[str, int] = {}  # of the trades that count, by symbol
    with (
        load(servers, options.rate, options.symbols, options.poison) as sent,
        closing(psycopg2.connect(dsn)) as connection,
        connection.cursor() as cursor,
    ):
        connection.autocommit = True
        seen_batch = None
        while not last or any(visible.get(symbol, 0) <= newest for symbol, newest in last.items()):
            time.sleep(_LOOK_EVERY_S)
            if not last and time.time() > counted_until:
                last = sent.newest()
            if time.time() > counted_until + _VISIBLE_WITHIN_S:
                raise SystemExit(f"trades are not visible {_VISIBLE_WITHIN_S} s after the last of them")
            cursor.execute("select max(batch_no) from batches")
            [batch] = cursor.fetchone()
            if batch == seen_batch:
                continue
            seen_batch = batch
            cursor.execute("select symbol, trade_id from latest_prices")
            found, now = cursor.fetchall(), time.time()
            if found and not visible:
                counted_from = now + _WARM_UP_S
                counted_until = counted_from + options.seconds
            for symbol, newest in found:
                received = sent.between(symbol, visible.get(symbol, 0), newest)
                ages_s += [now - at_s for at_s in received if counted_from <= at_s < counted_until]
                visible[symbol] = newest + 1
    return ages_s


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--trigger", default="1 second")
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--poison", type=int, default=0)
    results.add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
