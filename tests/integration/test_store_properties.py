"""The invariants of coverage and proof, over random markets, against brute force and a real Postgres.

`HYPOTHESIS_PROFILE=thorough` runs fifteen times as many stories.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from threading import Event
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from model import market, reference
from model.market import MINUTE_US

from producer.trade import Trade
from spark_processor import kernel
from spark_processor.store import Batch, Store

BINANCE, KUCOIN = ("binance", "BTC-USDT"), ("kucoin", "ETH-USDT")
Row = tuple[bytes | None, bytes | None, int, int]  # value, key, partition, offset

EXAMPLES = 300 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 20


@pytest.fixture(scope="module")
def pipeline(postgres_dsn: str) -> Iterator["Pipeline"]:
    store = Store(postgres_dsn, "raw_trades", 30, Event())
    connection = psycopg2.connect(postgres_dsn)
    connection.autocommit = True
    yield Pipeline(store, connection)
    connection.close()
    store.close()


@dataclass
class Pipeline:
    """Kernel and store without Spark, and what the database holds."""

    store: Store
    connection: Any

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def reset(self) -> None:
        self.query("truncate trades_1min_agg, coverage, batches, rejected_messages, latest_prices, alerts")

    def commit(self, tasks: list[list[Row]]) -> Batch:
        """One batch, divided among tasks as given; all in one where a symbol is spread."""
        together = [row for task in tasks for row in task]
        return self.store.commit(
            [], [lambda coverage: run(tasks, coverage), lambda coverage: run([together], coverage)]
        )

    def bars(self, key: tuple[str, str]) -> dict[int, reference.Bar]:
        rows = self.query(
            """select extract(epoch from window_start)::bigint / 60, open, high, low, close, volume, quote_volume,
                      trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id
               from trades_1min_agg where exchange = %s and symbol = %s""",
            *key,
        )
        return {minute: reference.Bar(*values) for minute, *values in rows}

    def proven(self, key: tuple[str, str]) -> dict[int, Any]:
        return dict(
            self.query(
                """select extract(epoch from window_start)::bigint / 60, proven_at from trades_1min_agg
                   where exchange = %s and symbol = %s and proven_at is not null""",
                *key,
            )
        )

    def coverage(self, key: tuple[str, str]) -> tuple[str, str] | None:
        rows = self.query(
            "select seen::text, wanted::text from coverage where exchange = %s and symbol = %s", *key
        )
        return rows[0] if rows else None


def run(tasks: list[list[Row]], coverage: kernel.Coverage) -> pa.Table:
    tables = [kernel.table_of(rows, kernel.MESSAGES) for rows in tasks if rows]
    return pa.concat_tables([kernel.evaluate(table, coverage) for table in tables])


@dataclass
class Story:
    """One random history of two markets: what happened, what was published, and in which order it arrives."""

    random: Random
    happened: dict[tuple[str, str], list[Trade]] = field(init=False)
    messages: dict[tuple[str, str], list[Trade]] = field(init=False)
    rows: list[Row] = field(init=False)
    bad_places: set[tuple[int, int]] = field(default_factory=set)
    confirmed: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = self.random
        self.happened = {key: market.trades(random, *key) for key in (BINANCE, KUCOIN)}
        self.messages = {key: market.published(random, trades) for key, trades in self.happened.items()}
        good = [market.wire(random, message) for messages in self.messages.values() for message in messages]
        bad = random.choices(list(market.no_trades(*BINANCE).values()), k=random.randint(0, 4))
        disorder = random.choice([0, 3, 10**9])
        arriving: list[tuple[float, bytes | None, bool]] = [
            (place + random.uniform(0, disorder), value, False) for place, value in enumerate(good)
        ]
        arriving += [(random.uniform(0, len(good)), value, True) for value in bad]
        partitions = random.choice([1, 3])
        self.rows = []
        for offset, (_, value, is_bad) in enumerate(sorted(arriving, key=lambda arrival: arrival[0])):
            partition = random.randrange(partitions)
            self.rows.append((value, b"k\x00" if is_bad else None, partition, offset))
            if is_bad:
                self.bad_places.add((partition, offset))

    def play(self, pipeline: Pipeline, confirming: bool) -> None:
        """Commits all messages, in batches of random size divided at random among two tasks."""
        at = 0
        while at < len(self.rows):
            size = self.random.choice([2, 10, 30, 1000])
            batch, at = self.rows[at : at + size], at + size
            task_of = [self.random.randrange(2) for _ in range(3)]
            pipeline.commit([[row for row in batch if task_of[row[2]] == task] for task in (0, 1)])
            if confirming and self.random.random() < 0.2:
                self.confirm(pipeline)

    def confirm(self, pipeline: Pipeline) -> None:
        """The monitor's word: after the last trade the exchange's newest id is that trade's."""
        for key, happened in self.happened.items():
            at_us = happened[-1].traded_at_us + self.random.choice([1, MINUTE_US])
            answer = pipeline.query(
                "select confirm(%s, %s, %s, to_timestamp(%s / 1e6))", *key, happened[-1].trade_id, at_us
            )
            if answer[0][0]:
                self.confirmed[key] = max(self.confirmed.get(key, 0), at_us)


@settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],  # a smaller seed is no simpler story
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**62))
def test_bars_coverage_and_proofs_are_what_brute_force_makes_of_the_messages(
    pipeline: Pipeline, seed: int
) -> None:
    story = Story(Random(seed))
    pipeline.reset()
    story.play(pipeline, confirming=True)
    for key in story.happened:
        assert_as_by_brute_force(pipeline, story, key, forgotten=False)
    assert_counted_once(pipeline, story)
    assert_rejected_once(pipeline, story)
    assert pipeline.query("select * from alerts") == []

    before = everything(pipeline, story)
    story.play(pipeline, confirming=False)  # a full replay
    assert everything(pipeline, story) == before
    assert_rejected_once(pipeline, story)

    key = story.random.choice([BINANCE, KUCOIN])
    forget(pipeline, story, key)
    story.random.shuffle(story.rows)
    story.play(pipeline, confirming=True)  # what the monitor fetches, and more
    for key in story.happened:
        assert_as_by_brute_force(pipeline, story, key, forgotten=True)


def assert_as_by_brute_force(pipeline: Pipeline, story: Story, key: tuple[str, str], forgotten: bool) -> None:
    messages, confirmed = story.messages[key], story.confirmed.get(key)
    bars, seen = reference.bars(messages), reference.seen(messages)
    assert pipeline.bars(key) == bars
    live = [message.trade_id for message in messages if message.source == "ws"]
    wanted_from = min(live, default=None)
    if not messages:
        assert pipeline.coverage(key) is None
    elif not forgotten:  # forgetting makes ids wanted
        wanted = "{}" if wanted_from is None else f"{{[{wanted_from},)}}"
        assert pipeline.coverage(key) == (reference.multirange(seen), wanted)

    proven = reference.proven(bars, seen, confirmed)
    assert set(pipeline.proven(key)) == proven
    truth = reference.bars(story.happened[key])
    assert {minute: bars[minute] for minute in proven} == {minute: truth[minute] for minute in proven}

    begin = reference.minute_of(story.random.choice(story.happened[key]))
    end = begin + story.random.randint(1, 5)
    period = (*key, begin * 60, end * 60)
    if not forgotten and messages:
        missing = pipeline.query("select missing_ids(%s, %s, to_timestamp(%s), to_timestamp(%s))::text", *period)
        expected = reference.missing(bars, seen, wanted_from, begin, end)
        assert missing == [(reference.multirange(expected),)]
    assert_grid(pipeline, period, bars, proven, reference.empty_minutes(bars, seen, confirmed))


def assert_grid(
    pipeline: Pipeline, period: tuple[Any, ...], bars: dict[int, reference.Bar], proven: set[int], empty: set[int]
) -> None:
    """Every minute is in the grid: with its bar, as proven empty at the last close, or without prices."""
    found = pipeline.query(
        """select extract(epoch from window_start)::bigint / 60, open, high, low, close, volume, trade_count,
                  completeness in ('proven', 'attested')
           from bars_1min_grid(%s, %s, to_timestamp(%s), to_timestamp(%s)) order by window_start""",
        *period,
    )
    expected: list[tuple[Any, ...]] = []
    for minute in range(period[2] // 60, period[3] // 60):
        if minute in bars:
            bar = bars[minute]
            prices = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trade_count)
            expected.append((minute, *prices, minute in proven))
        elif minute in empty:
            close = bars[max(known for known in bars if known < minute)].close
            expected.append((minute, close, close, close, close, 0, 0, True))
        else:
            expected.append((minute, None, None, None, None, None, None, False))
    assert found == expected


def assert_counted_once(pipeline: Pipeline, story: Story) -> None:
    messages, trades, rejected, contradictions, falls = pipeline.query(
        """select sum(messages), sum(trades + voids), sum(rejected), sum(contradictions), sum(time_falls)
           from batches"""
    )[0]
    ids = {(key, message.trade_id) for key, sent in story.messages.items() for message in sent}
    assert (messages, trades, rejected) == (len(story.rows), len(ids), len(story.bad_places))
    assert (contradictions, falls) == (0, 0)


def assert_rejected_once(pipeline: Pipeline, story: Story) -> None:
    places = pipeline.query('select "partition", "offset" from rejected_messages')
    assert sorted(places) == sorted(story.bad_places)


def everything(pipeline: Pipeline, story: Story) -> list[Any]:
    return [
        (pipeline.bars(key), pipeline.proven(key), pipeline.coverage(key)) for key in story.happened
    ] + pipeline.query("select * from latest_prices order by 1, 2")


def forget(pipeline: Pipeline, story: Story, key: tuple[str, str]) -> None:
    begin = reference.minute_of(story.random.choice(story.happened[key]))
    period = (begin * 60, (begin + story.random.randint(1, 5)) * 60)
    pipeline.query("select forget(%s, %s, to_timestamp(%s), to_timestamp(%s))", *key, *period)
    confirmed = pipeline.query(
        """select (extract(epoch from confirmed_through) * 1000000)::bigint from coverage
           where exchange = %s and symbol = %s""",
        *key,
    )
    if confirmed and confirmed[0][0] is not None:
        story.confirmed[key] = confirmed[0][0]
