"""What grows with what: the job's CPU a trade with symbols and holes, a commit's time with the bars in the table.

    python -m benchmarks.growth symbols|holes|bars|... [--messages 1000000] [--rounds 2]

Writes what was measured to docs/benchmarks.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg2
import pyarrow as pa

from benchmarks import results
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import TOPIC, measure
from benchmarks.messages import INPUTS, T0_US, as_sent, fill, trades
from benchmarks.servers import new_database, running_broker, running_postgres
from local.provision import drop_database
from producer.trade import message_key, to_wire
from spark_processor import kernel
from spark_processor.store import Store

JOB = CONTENDERS["job"]
_SYMBOLS = 200
_COMMITS = 20  # of which the median counts


@dataclass(frozen=True)
class Point:
    """One measurement. size: of what grows. value: what it cost."""

    size: float
    value: float


@dataclass(frozen=True)
class Growth:
    """sizes: of what grows. run: measures them all, round by round."""

    title: str
    x_title: str
    y_title: str
    sizes: tuple[int, ...]
    run: Callable[["Growth", argparse.Namespace, Path], Iterator[Point]]


def main() -> None:
    options = _options()
    growth = GROWTHS[options.growth]
    points = []
    with tempfile.TemporaryDirectory() as temporary:
        for point in growth.run(growth, options, Path(temporary)):
            points.append(point)
            _say(f"{growth.x_title} {point.size:,.0f}: {growth.y_title} {point.value:.4g}")
    results.write(
        f"growth_{options.growth}",
        {name: getattr(options, name) for name in ("messages", "batch", "rounds")},
        points,
    )


def _with_symbols(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over a backlog of so many symbols; each size has a broker of its own."""
    for symbols in growth.sizes:
        own = folder / str(symbols)
        own.mkdir()
        with running_broker(own / "kafka") as servers, running_postgres(own / "postgres") as dsn:
            fill(servers, TOPIC, options.messages, symbols, INPUTS["clean"], own)
            for number in range(options.rounds):
                yield Point(symbols, measure(JOB, servers, dsn, f"run_{number}", own, options.batch).cpu_us)


def _with_holes(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """The job over one backlog, with so many ranges of ids missing from the symbols' coverage below it."""
    with running_broker(folder / "kafka") as servers, running_postgres(folder / "postgres") as dsn:
        fill(servers, TOPIC, options.messages, _SYMBOLS, INPUTS["clean"], folder)
        for number in range(options.rounds):
            for holes in growth.sizes:
                name = f"holes_{holes}_{number}"
                _open_holes(new_database(dsn, name), holes)
                yield Point(holes, measure(JOB, servers, dsn, name, folder, options.batch).cpu_us)
                drop_database(dsn, name)


def _with_bars(growth: Growth, options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    """Commits of a live batch (2,000 trades of 200 symbols) on a table with so many bars of earlier times."""
    with running_postgres(folder / "postgres") as dsn:
        own = new_database(dsn, "bars")
        with closing(Store(own, TOPIC, 30, threading.Event())) as store:
            batches = _live_batches()
            have = 0
            for bars in growth.sizes:
                _add_bars(own, have // _SYMBOLS, bars // _SYMBOLS)
                have = bars
                _commit(store, next(batches))  # warms the server's cache
                for _ in range(options.rounds):
                    took_ms = [_commit(store, next(batches)) * 1e3 for _ in range(_COMMITS)]
                    yield Point(bars, statistics.median(took_ms))


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
            {"holes": holes, "symbols": _SYMBOLS},
        )


def _add_bars(dsn: str, first_minute: int, end_minute: int) -> None:
    """Proven bars of the minutes before the batches, each minute with one of every symbol."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                """insert into trades_1min_agg (exchange, symbol, window_start, open, high, low, close, volume,
                       quote_volume, taker_buy_volume, taker_buy_quote_volume, trade_count, first_trade_id,
                       last_trade_id, proven_at)
                   select 'binance', format('S%%s-USDT', to_char(number, 'FM0000')),
                          to_timestamp(%(before_s)s - minute * 60.0), 100.5, 101, 99.5, 100, 12.5, 1256.25, 6, 603,
                          25, -minute * 25, -minute * 25 + 24, now()
                   from generate_series(%(first)s + 1, %(end)s) as minute,
                        generate_series(0, %(symbols)s - 1) as number""",
                {
                    "before_s": T0_US // 60_000_000 * 60,
                    "first": first_minute,
                    "end": end_minute,
                    "symbols": _SYMBOLS,
                },
            )
            cursor.execute("vacuum analyze trades_1min_agg")


def _live_batches() -> Iterator[pa.Table]:
    """A second of trading each: 2,000 messages."""
    one_second = 2000
    kind = INPUTS["clean"]
    rows: list[tuple[bytes, bytes, int, int]] = []
    in_time = trades(one_second * 660, range(_SYMBOLS), kind.span_us, seed=1)
    for offset, trade in enumerate(as_sent(in_time, kind, Random(1))):
        rows.append((to_wire(trade), message_key(trade.exchange, trade.symbol), 0, offset))
        if len(rows) == one_second:
            columns = zip(zip(*rows, strict=True), kernel.MESSAGES, strict=True)
            yield pa.table([pa.array(column, field.type) for column, field in columns], kernel.MESSAGES)
            rows.clear()


def _commit(store: Store, messages: pa.Table) -> float:
    """Seconds from the evaluated batch to its commit."""
    evaluated_at = 0.0

    def evaluate(coverage: kernel.Coverage) -> pa.Table:
        nonlocal evaluated_at
        result = kernel.evaluate(messages, coverage)
        evaluated_at = time.perf_counter()
        return result

    store.commit([evaluate])
    return time.perf_counter() - evaluated_at


GROWTHS = {
    "symbols": Growth(
        "The job with more symbols", "symbols", "CPU µs a trade", (10, 200, 1000, 2500), _with_symbols
    ),
    "holes": Growth(
        "The job with holes in coverage", "holes", "CPU µs a trade", (0, 100, 1000, 10_000), _with_holes
    ),
    "bars": Growth(
        "A commit with more bars in the table",
        "bars in the table",
        "ms a commit",
        (1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000),
        _with_bars,
    ),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("growth", choices=GROWTHS)
    parser.add_argument("--messages", type=int, default=1_500_000)
    parser.add_argument("--batch", type=int, default=500_000, help="most messages in a batch")
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
