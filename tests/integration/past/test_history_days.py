"""Days of the past: what they will cost, and how they get into bars and candles."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto_pipeline.audit.comparison import SymbolAudit, audit_symbol
from crypto_pipeline.history.fill import DayIncomplete, fill_day
from crypto_pipeline.history.plan import (
    CannotPlan,
    DayPlan,
    keep,
    plan_candles,
    plan_trades,
    read_symbols,
)
from crypto_pipeline.period import Period
from local.exchange.launch import Simulator
from producer.bulk_files import BulkFileBroken, BulkFiles
from producer.history import History
from producer.trade import Trade

BINANCE, KUCOIN, BTC = "binance", "kucoin", "BTC-USDT"
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
BARS = (
    "select count(*), count(proven_at), sum(trade_count)::bigint from trades_1min_agg "
    "where window_start >= %s and window_start < %s"
)
STATE = "select day, way, state, rows_written, detail from history_days order by day"


class Altered:
    """The exchange's past or its files, without some trades, and counting what is given."""

    def __init__(self, history: Any, lacks: frozenset[int] = frozenset(), breaks_after: int | None = None) -> None:
        self._history, self._lacks, self._breaks_after = history, lacks, breaks_after
        self.given: list[int] = []

    def trades(self, *place: Any) -> Iterator[list[Trade]]:
        for page in self._history.trades(*place):
            some = [trade for trade in page if trade.trade_id not in self._lacks]
            self.given += [trade.trade_id for trade in some]
            yield some
            if self._breaks_after is not None and len(self.given) >= self._breaks_after:
                raise BulkFileBroken("the rest is garbage")


@pytest.fixture
def binance(past_exchange: Simulator) -> Iterator[History]:
    with History(BINANCE, past_exchange.url, weight_share=0.5) as history:
        yield history


@pytest.fixture
def files(past_exchange: Simulator) -> Iterator[BulkFiles]:
    with BulkFiles(BINANCE, past_exchange.url) as found:
        yield found


@pytest.fixture
def yesterday() -> Period:
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - DAY
    return Period(start, start + DAY)


def fill(pipeline: Any, past: Any, files: Any, plan: DayPlan) -> int:
    with pipeline.publishing() as publish:
        return fill_day(pipeline.db, past, files, publish, plan, patience_s=15)


def true_count(past_exchange: Simulator, period: Period) -> tuple[int, int]:
    """Bars and trades."""
    told = past_exchange.control.true_bars(
        BINANCE, BTC, int(period.start.timestamp()) * 1_000_000, int(period.end.timestamp()) * 1_000_000
    )
    return len(told), sum(bar.trade_count for bar in told)


def test_two_hours_by_rest_extend_coverage_backwards_and_every_bar_is_proven_and_equal(
    past_exchange: Simulator,
    pipeline: Any,
    stream: Any,
    binance: History,
    files: BulkFiles,
    hour: tuple[datetime, datetime],
) -> None:
    stream(BINANCE, BTC, *hour)
    wanted_before = pipeline.rows("select wanted::text from coverage")
    period = Period(hour[0] - timedelta(hours=2), hour[0])
    (plan,) = plan_trades(pipeline.db, binance, files, BINANCE, BTC, period, 0.2, "rest")
    bars, trades = true_count(past_exchange, period)
    # of the trades that prove the first and the last bar one is there already
    assert (plan.rows, plan.way, plan.calls, plan.weight) == (trades + 1, "rest", 2, 50)
    keep(pipeline.db, [plan])
    assert pipeline.rows(STATE) == [(period.start.date(), "rest", "planned", 0, None)]
    assert fill(pipeline, binance, files, plan) == trades + 1
    assert pipeline.rows(BARS, period.start, period.end) == [(bars, bars, trades)]
    assert pipeline.rows(STATE) == [(period.start.date(), "rest", "done", trades + 1, None)]
    assert pipeline.rows("select proven_at is not null from trades_1min_agg where window_start = %s", hour[0]) == [
        (True,)  # the first bar of the live stream had no trade before it
    ]
    ((wanted,),) = pipeline.rows("select wanted::text from coverage")
    assert wanted != wanted_before[0][0]
    assert wanted.startswith(f"{{[{plan.first_id},")
    assert pipeline.rows("select missing_ids(exchange, symbol, %s, %s)::text from coverage", *hour) == [("{}",)]
    with pipeline.publishing() as publish:
        audited = audit_symbol(pipeline.db, binance, publish, BINANCE, BTC, period)
    assert audited == SymbolAudit(BINANCE, BTC, bars, 0, 120 - bars, 0, 120, 0, 0, 0)


def test_a_day_from_the_exchanges_file_is_the_same_and_costs_no_weight(
    past_exchange: Simulator, pipeline: Any, binance: History, files: BulkFiles, yesterday: Period
) -> None:
    (plan,) = plan_trades(pipeline.db, binance, files, BINANCE, BTC, yesterday, 0.2)
    bars, trades = true_count(past_exchange, yesterday)
    assert (plan.way, plan.calls, plan.weight, plan.rows) == ("bulk file", 0, 0, trades + 2)
    # the file holds the day; the trades before and after it come over REST
    assert fill(pipeline, binance, files, plan) == trades + 2
    assert pipeline.rows(BARS, yesterday.start, yesterday.end) == [(bars, bars, trades)]
    assert plan_trades(pipeline.db, binance, files, BINANCE, BTC, yesterday, 0.2) == [
        replace(plan, way="rest", rows=0, seconds=0.0)
    ]
    assert fill(pipeline, binance, files, plan) == 0


def test_a_broken_file_is_made_up_for_over_rest_and_no_trade_is_counted_twice(
    past_exchange: Simulator, pipeline: Any, binance: History, files: BulkFiles, yesterday: Period
) -> None:
    (plan,) = plan_trades(pipeline.db, binance, files, BINANCE, BTC, yesterday, 0.2)
    keep(pipeline.db, [plan])
    bars, trades = true_count(past_exchange, yesterday)
    broken = Altered(files, lacks=frozenset([plan.first_id + 7]), breaks_after=10_000)
    past = Altered(binance)
    fill(pipeline, past, broken, plan)
    assert pipeline.rows(BARS, yesterday.start, yesterday.end) == [(bars, bars, trades)]
    assert plan.first_id + 7 in past.given
    assert pipeline.rows(STATE)[0][2:] == (
        "done",
        trades + 2,
        "over REST instead of the file: the rest is garbage",
    )


def test_a_day_that_was_killed_goes_on_where_it_was(
    pipeline: Any, binance: History, files: BulkFiles, yesterday: Period
) -> None:
    period = Period(yesterday.start, yesterday.start + timedelta(hours=3))
    (plan,) = plan_trades(pipeline.db, binance, files, BINANCE, BTC, period, 0.2, "rest")
    half = replace(plan, last_id=plan.first_id + 1000)
    assert fill(pipeline, binance, files, half) == 1001
    past = Altered(binance)
    assert fill(pipeline, past, files, plan) == plan.last_id - plan.first_id - 1000
    assert min(past.given) == plan.first_id + 1001


def test_trades_that_the_exchange_lacks_fail_the_day_by_name_and_the_rest_is_proven(
    pipeline: Any, binance: History, files: BulkFiles, yesterday: Period
) -> None:
    period = Period(yesterday.start, yesterday.start + timedelta(minutes=30))
    (plan,) = plan_trades(pipeline.db, binance, files, BINANCE, BTC, period, 0.2, "rest")
    keep(pipeline.db, [plan])
    lost = plan.first_id + 40
    with pytest.raises(
        DayIncomplete, match=rf"gives 1 of its trades neither by file nor over REST: {lost}\. Its other"
    ):
        fill(pipeline, Altered(binance, frozenset([lost])), files, plan)
    ((_, _, state, _, detail),) = pipeline.rows(STATE)
    assert (state, f": {lost}. " in detail) == ("failed", True)
    ((bars, proven, _),) = pipeline.rows(BARS, period.start, period.end)
    assert bars - 2 <= proven < bars


def test_days_of_candles_of_both_exchanges_are_stored_and_none_of_a_minute_that_was_not_asked_for(
    past_exchange: Simulator, pipeline: Any, binance: History, files: BulkFiles, yesterday: Period
) -> None:
    period = Period(yesterday.start - timedelta(minutes=10), yesterday.start + timedelta(minutes=20))
    for plan in plan_candles(BINANCE, BTC, period, 0.2):
        fill(pipeline, binance, files, plan)
    with (
        History(KUCOIN, past_exchange.url, weight_share=0.5) as kucoin,
        BulkFiles(KUCOIN, past_exchange.url) as none,
    ):
        plans = plan_candles(KUCOIN, BTC, period, 0.2)
        keep(pipeline.db, plans)
        for plan in plans:
            fill(pipeline, kucoin, none, plan)
    rows = pipeline.rows(
        "select exchange, count(*), min(window_start), max(window_start) from candles_1min group by 1 order by 1"
    )
    assert rows[0] == (BINANCE, 30, period.start, period.end - MINUTE)
    assert rows[1][0] == KUCOIN
    assert [row[1:4] for row in pipeline.rows(STATE)] == [
        ("rest", "done", n)
        for n in [
            pipeline.rows(
                "select count(*) from candles_1min where exchange = 'kucoin' and window_start < %s",
                yesterday.start,
            )[0][0],
            pipeline.rows(
                "select count(*) from candles_1min where exchange = 'kucoin' and window_start >= %s",
                yesterday.start,
            )[0][0],
        ]
    ]
    by_rest = pipeline.rows(
        "select window_start, open, volume, trade_count from candles_1min where exchange = %s order by 1", BINANCE
    )
    pipeline.change("delete from candles_1min")
    (*_, day) = plan_candles(BINANCE, BTC, Period(yesterday.start, period.end), 0.2, "bulk file")
    assert (day.way, day.weight) == ("bulk file", 0)
    fill(pipeline, binance, files, day)
    assert (
        pipeline.rows("select window_start, open, volume, trade_count from candles_1min order by 1")
        == by_rest[10:]
    )


def test_a_time_without_any_trade_since_is_done_at_once(
    pipeline: Any, binance: History, files: BulkFiles, yesterday: Period
) -> None:
    later = Period(yesterday.end + 2 * DAY, yesterday.end + 2 * DAY + MINUTE)
    (plan,) = plan_trades(pipeline.db, binance, files, BINANCE, BTC, later, 0.2)
    assert (plan.first_id, plan.rows, plan.weight) == (None, 0, 0)
    keep(pipeline.db, [plan])
    assert fill(pipeline, binance, files, plan) == 0
    assert pipeline.rows(STATE)[0][2:] == ("done", 0, "no trade since then")


def test_a_range_is_planned_a_day_at_a_time_and_the_plan_survives_xcom(
    pipeline: Any, binance: History, files: BulkFiles, yesterday: Period
) -> None:
    period = Period(yesterday.start - timedelta(hours=1), yesterday.end + timedelta(minutes=1))
    plans = plan_trades(pipeline.db, binance, files, BINANCE, BTC, period, 0.2)
    assert [(plan.start, plan.end) for plan in plans] == [
        (period.start, yesterday.start), (yesterday.start, yesterday.end), (yesterday.end, period.end)
    ]  # fmt: skip
    assert [plan.way for plan in plans] == ["rest", "bulk file", "rest"]
    assert [DayPlan.from_json(plan.to_json()) for plan in plans] == plans
    assert plans[0].to_json()["label"] == f"binance:BTC-USDT {plans[0].day} trades"
    # neighbours share the two trades at their edge, so no proof is missing there
    assert plans[0].last_id == plans[1].first_id + 1
    with pytest.raises(CannotPlan, match="source: binance has no file of BTC-USDT on"):
        plan_trades(pipeline.db, binance, files, BINANCE, BTC, Period(yesterday.end, period.end), 0.2, "bulk file")


def test_what_cannot_be_had_is_said_before_anything_is_asked() -> None:
    assert read_symbols(["binance:BTC-USDT", " kucoin:ETH-USDT", "binance:BTC-USDT"], "candles") == [
        (BINANCE, BTC),
        (KUCOIN, "ETH-USDT"),
    ]
    with pytest.raises(
        CannotPlan, match=r"kucoin gives no trades of the past but the last 100; ask for its candles"
    ):
        read_symbols(["kucoin:BTC-USDT"], "trades")
    with pytest.raises(CannotPlan, match="symbols: 'BTCUSDT' is not of the form binance:BTC-USDT"):
        read_symbols(["BTCUSDT"], "trades")
    with pytest.raises(CannotPlan, match="symbols: name at least one"):
        read_symbols([], "trades")
    with pytest.raises(CannotPlan, match="source: kucoin publishes no files"):
        plan_candles(
            KUCOIN,
            BTC,
            Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
            0.2,
            "bulk file",
        )


def test_a_plan_of_more_days_than_airflow_maps_is_refused(pipeline: Any) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    plans = plan_candles(BINANCE, BTC, Period(start, start + 1001 * DAY), 0.2)
    with pytest.raises(CannotPlan, match="1001 days of all symbols together, and one run takes 1000"):
        keep(pipeline.db, plans)
