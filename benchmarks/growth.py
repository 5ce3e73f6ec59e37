"""What grows with what: the cost of a trade with symbols, holes, partitions, tasks or batches, the time until a
backlog is worked off with its length, and that of a commit with the bars in the table.

    python -m benchmarks.growth symbols|holes|partitions|tasks|batches|backlog|bars
        [--messages 1500000] [--batch 500000] [--rounds 2]

Writes what was measured to docs/benchmarks.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from benchmarks import results
from benchmarks.commits import SYMBOLS, commits_ms
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import TOPIC, Measured, measure
from benchmarks.messages import INPUTS, fill
from benchmarks.servers import new_database, running_broker, running_postgres
from local.broker import PARTITIONS
from local.provision import drop_database

JOB = CONTENDERS["job"]
_COMMITS = 20  # of which the median counts


@dataclass(frozen=True)
class Point:
    """One measurement. size: of what grows. value: what it cost."""

    size: float
    value: float


@dataclass(frozen=True)
class Growth:
    """sizes: of what grows. run: measures them all, round by round. settings: the options that it goes by."""

    title: str
    x_title: str
    y_title: str
    sizes: tuple[int, ...]
    run: Callable[["Growth", argparse.Namespace, Path], Iterator[Point]]
    settings: tuple[str, ...] = ("messages", "batch")


def main() -> None:
    options = _options()
    growth = GROWTHS[options.growth]
    points = []
    with tempfile.TemporaryDirectory() as temporary:
        for point in growth.run(growth, options, Path(temporary)):
            points.append(point)
            print(f"{growth.x_title} {point.size:,.0f}: {growth.y_title} {point.value:.4g}", flush=True)
    results.write(
        f"growth_{options.growth}",
        {name: getattr(options, name) for name in (*growth.settings, "rounds")},
        points,
    )


def _with_symbols(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over a backlog of so many symbols; each size has a broker of its own."""
    for symbols in growth.sizes:
        with _backlog(folder, options.messages, symbols=symbols) as one:
            for number in range(options.rounds):
                yield Point(symbols, one.run_job(f"run_{number}", options.batch).cpu_us)


def _with_partitions(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over a backlog in so many partitions; each size has a broker of its own."""
    for partitions in growth.sizes:
        with _backlog(folder, options.messages, partitions=partitions) as one:
            for number in range(options.rounds):
                yield Point(partitions, one.run_job(f"run_{number}", options.batch).cpu_us)


def _with_backlog(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job from its start to the end of a backlog of so many messages; each size has a broker of its own."""
    for messages in growth.sizes:
        with _backlog(folder, messages) as one:
            for number in range(options.rounds):
                yield Point(messages, one.run_job(f"run_{number}", options.batch).took_s)


def _with_holes(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over one backlog, with so many ranges of ids missing from the symbols' coverage below it."""
    with _backlog(folder, options.messages) as one:
        for name, holes in _rounds(growth, options):
            _open_holes(new_database(one.dsn, name), holes)
            yield Point(holes, one.run_job(name, options.batch).cpu_us)


def _with_tasks(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over one backlog, with so many cores, and each batch divided among as many tasks."""
    with _backlog(folder, options.messages) as one:
        for name, tasks in _rounds(growth, options):
            cores = {"JOB_TASKS": str(tasks), "SPARK_MASTER_URL": f"local[{tasks}]"}
            yield Point(tasks, one.run_job(name, options.batch, **cores).per_s / 1e3)


def _with_batches(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over one backlog, with so many messages in a batch."""
    with _backlog(folder, options.messages) as one:
        for name, batch in _rounds(growth, options):
            yield Point(batch, one.run_job(name, batch).cpu_us)


@dataclass(frozen=True)
class _Backlog:
    """A broker that holds it, a database server, and the folder of both."""

    servers: str
    dsn: str
    folder: Path

    def run_job(self, database: str, batch: int, **variables: str) -> Measured:
        """The job over all of it, into a database that is made, if it is not there, and dropped."""
        measured = measure(JOB, self.servers, self.dsn, database, self.folder, batch, **variables)
        drop_database(self.dsn, database)
        return measured


@contextmanager
def _backlog(
    folder: Path, messages: int, symbols: int = SYMBOLS, partitions: int = PARTITIONS
) -> Iterator[_Backlog]:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        own = Path(temporary)
        with running_broker(own / "kafka") as servers, running_postgres(own / "postgres") as dsn:
            fill(servers, TOPIC, messages, symbols, INPUTS["clean"], own, partitions)
            yield _Backlog(servers, dsn, own)


def _rounds(growth: Growth, options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Each size in each round, with the name of its run."""
    return ((f"run_{number}_{size}", size) for number in range(options.rounds) for size in growth.sizes)


def _with_bars(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """Commits of live batches on a table with so many bars of earlier times."""
    with running_postgres(folder / "postgres") as dsn:
        took_ms: dict[int, list[float]] = defaultdict(list)
        for size, ms in commits_ms(new_database(dsn, "bars"), growth.sizes, _COMMITS * options.rounds):
            took_ms[size].append(ms)
            if len(took_ms[size]) % _COMMITS == 0:
                yield Point(size, statistics.median(took_ms[size][-_COMMITS:]))


def _open_holes(dsn: str, holes: int) -> None:
    """Coverage below the backlog's ids, which begin at 1,000: each symbol has its share of the holes there."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            """insert into coverage (exchange, symbol, seen, wanted)
               select 'binance', format('S%%s-USDT', to_char(number, 'FM0000')),
                      (select range_agg(int8range(2 * place, 2 * place + 1))
                       from generate_series(0, %(holes)s / %(symbols)s) as place),
                      int8multirange(int8range(0, null))
               from generate_series(0, %(symbols)s - 1) as number""",
            {"holes": holes, "symbols": SYMBOLS},
        )


GROWTHS = {
    "symbols": Growth(
        "The job with more symbols", "symbols", "CPU µs a trade", (10, 200, 1000, 2500), _with_symbols
    ),
    "holes": Growth(
        "The job with holes in coverage", "holes", "CPU µs a trade", (0, 100, 1000, 10_000), _with_holes
    ),
    "partitions": Growth(
        "The job with more partitions", "partitions", "CPU µs a trade", (1, 2, 6, 12, 24), _with_partitions
    ),
    "tasks": Growth("The job with more cores", "cores and tasks", "thousand trades a second", (1, 2), _with_tasks),
    "batches": Growth(
        "The job with larger batches",
        "messages in a batch",
        "CPU µs a trade",
        (50_000, 100_000, 250_000, 500_000),
        _with_batches,
        ("messages",),
    ),
    "backlog": Growth(
        "The job with a longer backlog",
        "messages",
        "s from its start",
        (1_800_000, 6_000_000, 18_000_000),
        _with_backlog,
        ("batch",),
    ),
    "bars": Growth(
        "A commit with more bars in the table",
        "bars in the table",
        "ms a commit",
        (1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000),
        _with_bars,
        (),
    ),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("growth", choices=GROWTHS)
    parser.add_argument("--messages", type=int, default=1_500_000)
    parser.add_argument("--batch", type=int, default=500_000, help="most messages in a batch")
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
