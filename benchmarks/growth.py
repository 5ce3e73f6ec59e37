"""What grows with what: the cost of a trade with symbols, holes, partitions, tasks or batches, the time until a
backlog is worked off with its length, and that of a commit with the bars in the table.

    python -m benchmarks.growth symbols|holes|partitions|tasks|batches|backlog|bars
        [--messages 1500000] [--batch 500000] [--rounds 3] [--keep]
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import results
from benchmarks.backlogs import open_holes, running_backlogs
from benchmarks.commits import commits_ms
from benchmarks.servers import new_database, running_postgres

_BACKLOG_PER_S = 5_000
_COMMITS = 100  # of which the median counts


@dataclass(frozen=True)
class Point:
    """One measurement. size: of what grows. value: what it cost."""

    size: float
    value: float


@dataclass(frozen=True)
class Growth:
    """sizes: of what grows. run: measures them all, round by round. why: what makes the curve what it is.
    settings: the options that it goes by. beyond: a size that takes too long to measure, whose value is computed.
    """

    title: str
    x_title: str
    y_title: str
    sizes: tuple[int, ...]
    run: Callable[["Growth", argparse.Namespace, Path], Iterator[Point]]
    why: str
    settings: tuple[str, ...] = ("messages", "batch")
    beyond: int | None = None


def main() -> None:
    options = _options()
    growth = GROWTHS[options.growth]
    settings = {name: getattr(options, name) for name in growth.settings}
    points = []
    with tempfile.TemporaryDirectory() as temporary:
        for point in growth.run(growth, options, Path(temporary)):
            points.append(point)
            print(f"{growth.x_title} {point.size:,.0f}: {growth.y_title} {point.value:.4g}", flush=True)
            # each time, so that a run cut short leaves what it has measured
            results.keep(options, f"growth_{options.growth}", settings, points)


def _with_symbols(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over backlogs of so many symbols."""
    with running_backlogs(folder) as backlogs:
        topics = {size: backlogs.add(options.messages, symbols=size) for size in growth.sizes}
        for name, size in _rounds(growth, options):
            yield Point(size, backlogs.run_job(name, topics[size], options.batch).cpu_us)


def _with_partitions(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over backlogs in so many partitions."""
    with running_backlogs(folder) as backlogs:
        topics = {size: backlogs.add(options.messages, partitions=size) for size in growth.sizes}
        for name, size in _rounds(growth, options):
            yield Point(size, backlogs.run_job(name, topics[size], options.batch).cpu_us)


def _with_backlog(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job from its start to the end of backlogs of so many minutes."""
    with running_backlogs(folder) as backlogs:
        topics = {}
        for minutes in growth.sizes:
            topics[minutes] = backlogs.add(minutes * 60 * _BACKLOG_PER_S, span_us=minutes * 60_000_000)
        for name, minutes in _rounds(growth, options):
            yield Point(minutes, backlogs.run_job(name, topics[minutes], options.batch).took_s)


def _with_holes(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over one backlog, with so many ranges of ids missing from the symbols' coverage below it."""
    with running_backlogs(folder) as backlogs:
        topic = backlogs.add(options.messages)
        for name, holes in _rounds(growth, options):
            open_holes(new_database(backlogs.postgres.address, name), holes)
            yield Point(holes, backlogs.run_job(name, topic, options.batch).cpu_us)


def _with_tasks(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over one backlog, with each batch divided among so many tasks, which run beside each other."""
    with running_backlogs(folder) as backlogs:
        topic = backlogs.add(options.messages)
        for name, tasks in _rounds(growth, options):
            variables = {"JOB_TASKS": str(tasks), "SPARK_MASTER_URL": f"local[{tasks}]"}
            yield Point(tasks, backlogs.run_job(name, topic, options.batch, **variables).per_s / 1e3)


def _with_batches(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over one backlog, with so many messages in a batch."""
    with running_backlogs(folder) as backlogs:
        topic = backlogs.add(options.messages)
        for name, batch in _rounds(growth, options):
            yield Point(batch, backlogs.run_job(name, topic, batch).cpu_us)


def _with_bars(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """Commits of live batches on a table with so many bars of earlier times, which only grows: without rounds."""
    with running_postgres(folder / "postgres") as postgres:
        took_ms: dict[int, list[float]] = defaultdict(list)
        dsn = new_database(postgres.address, "bars")
        for size, ms in commits_ms(dsn, growth.sizes, _COMMITS * options.rounds):
            took_ms[size].append(ms)
            if len(took_ms[size]) % _COMMITS == 0:
                yield Point(size, statistics.median(took_ms[size][-_COMMITS:]))


def _rounds(growth: Growth, options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Each size in each round, with the name of its run."""
    return ((f"run_{number}_{size}", size) for number in range(options.rounds) for size in growth.sizes)


GROWTHS = {
    "symbols": Growth(
        "The job with more symbols",
        "symbols",
        "CPU µs a trade",
        (10, 200, 1000, 2500),
        _with_symbols,
        "It hardly rises: more symbols make more bars and ranges of ids of the same trades, but few beside these.",
    ),
    "holes": Growth(
        "The job with holes in coverage",
        "holes",
        "CPU µs a trade",
        (0, 200, 1000, 10_000),
        _with_holes,
        "It does not bend: a batch takes the ranges of ids once to each task and back into the rows of their "
        "symbols, and 10,000 of them are little beside half a million messages.",
    ),
    "partitions": Growth(
        "The job with more partitions",
        "partitions",
        "CPU µs a trade",
        (1, 2, 6, 12, 24),
        _with_partitions,
        "It does not bend: a trade costs the same in any partition. But a partition goes whole to one task, so no "
        "more than one core evaluates what comes in a single one.",
    ),
    "tasks": Growth(
        "The job with more tasks",
        "tasks",
        "thousand trades a second",
        (1, 2),
        _with_tasks,
        "Less than twice as many: the driver alone commits a batch, and two tasks share the two cores with Java, "
        "broker and database, which a single task leaves room for.",
    ),
    "batches": Growth(
        "The job with larger batches",
        "messages in a batch",
        "CPU µs a trade",
        (50_000, 100_000, 250_000, 500_000),
        _with_batches,
        "Beside its messages each of these batches costs about 0.24 s of CPU: Spark's tasks, DuckDB's plans, rows "
        "of bars and symbols to merge. That is as much as 120,000 messages, and about there it bends.",
        ("messages",),
    ),
    "backlog": Growth(
        "The job after having been away",
        f"minutes at {_BACKLOG_PER_S:,} trades a second",
        "s from its start to the last trade",
        (6, 20, 60),
        _with_backlog,
        "It is a straight line, after about 5 s in which Java and Spark start and the first batch warms them up.",
        ("batch",),
    ),
    "bars": Growth(
        "A commit with more bars in the table",
        "bars in the table",
        "ms a commit",
        (1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000),
        _with_bars,
        "It does not bend: a commit touches the newest bars, and finds them by an index.",
        (),
        beyond=100_000_000,
    ),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("growth", choices=GROWTHS)
    parser.add_argument("--messages", type=int, default=1_500_000)
    parser.add_argument("--batch", type=int, default=500_000, help="most messages in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    results.add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
