"""How long a commit takes on a table that holds bars of earlier times."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from random import Random

import psycopg2
import pyarrow as pa

from benchmarks.backlogs import SYMBOLS
from benchmarks.measure import TOPIC
from benchmarks.messages import INPUTS, T0_US, as_sent, trades
from producer.trade import message_key, to_wire
from spark_processor import kernel
from spark_processor.store import Store

_ONE_SECOND = 2000  # messages of a second of trading


def commits_ms(dsn: str, sizes: Sequence[int], count: int) -> Iterator[tuple[int, float]]:
    """For each size the table grows to so many bars, and `count` live batches are committed: (size, ms) each.

    sizes: growing. A batch is a second of trading of 200 symbols.
    """
    with closing(Store(dsn, TOPIC, 30, threading.Event())) as store:
        batches = _live_batches(len(sizes) * (count + 1))
        have = 0
        for bars in sizes:
            _add_bars(dsn, have // SYMBOLS, bars // SYMBOLS)
            have = bars
            _commit(store, next(batches))  # warms the server's cache
            for _ in range(count):
                yield bars, _commit(store, next(batches)) * 1e3


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
                    "symbols": SYMBOLS,
                },
            )
            cursor.execute("vacuum analyze")  # everything, so that no size finds what the one before has left
            cursor.execute("checkpoint")  # the server would write down what was added while commits are measured


def _live_batches(count: int) -> Iterator[pa.Table]:
    """A second of trading each: 2,000 messages."""
    kind = replace(INPUTS["clean"], span_us=count * 1_000_000)
    rows: list[tuple[bytes, bytes, int, int]] = []
    in_time = trades(_ONE_SECOND * count, range(SYMBOLS), kind.span_us, seed=1)
    for offset, trade in enumerate(as_sent(in_time, kind, Random(1))):
        rows.append((to_wire(trade), message_key(trade.exchange, trade.symbol), 0, offset))
        if len(rows) == _ONE_SECOND:
            yield kernel.table_of(rows, kernel.MESSAGES)
            rows.clear()


def _commit(store: Store, messages: pa.Table) -> float:
    """Seconds from the evaluated batch to its commit."""
    evaluated_at = 0.0

    def evaluate(coverage: kernel.Coverage) -> pa.Table:
        nonlocal evaluated_at
        result = kernel.evaluate(messages, coverage)
        evaluated_at = time.perf_counter()
        return result

    store.commit([], [evaluate])
    return time.perf_counter() - evaluated_at
