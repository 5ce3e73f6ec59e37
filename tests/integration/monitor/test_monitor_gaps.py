"""What is missing is recorded once, brought back over REST, and judged by coverage."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto_pipeline.monitor import gaps
from crypto_pipeline.monitor.fill import fill
from crypto_pipeline.monitor.gaps import Bounds, Work
from local.exchange.faults import RestError
from producer.exchanges.adapter import Candle
from producer.history import History
from producer.trade import Trade

BINANCE, KUCOIN, BTC = "binance", "kucoin", "BTC-USDT"
BOUNDS = Bounds(0.4, 60, timedelta(days=7))


class Lacking:
    """The exchange's past, without some ids."""

    def __init__(self, history: History, lacks: Sequence[int]) -> None:
        self._history, self._lacks = history, set(lacks)
        self.asked: list[tuple[int, int]] = []

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]:
        self.asked.append((first_id, last_id))
        for page in self._history.trades(symbol, first_id, last_id):
            yield [trade for trade in page if trade.trade_id not in self._lacks]

    def recent_trades(self, symbol: str) -> list[Trade]:
        return [t for t in self._history.recent_trades(symbol) if t.trade_id not in self._lacks]

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]:
        return self._history.candles(symbol, from_us, until_us)


@pytest.fixture
def binance(pipeline: Any) -> Iterator[History]:
    with History(BINANCE, pipeline.market.url, weight_share=0.9, patience_s=3) as history:
        yield history


@pytest.fixture
def kucoin(pipeline: Any) -> Iterator[History]:
    with History(KUCOIN, pipeline.market.url, weight_share=0.9, patience_s=3) as history:
        yield history


def lose(pipeline: Any, exchange: str, hour: Any, first: int, count: int) -> tuple[list[Trade], list[Trade]]:
    """Streams an hour's minutes but for some trades; returns what was streamed and what was lost."""
    trades = pipeline.trades(exchange, BTC, *hour)
    kept, lost = [*trades[:first], *trades[first + count :]], trades[first : first + count]
    pipeline.stream(kept)
    return kept, lost


def attempt(pipeline: Any, past: Any, work: Work, **options: Any) -> Any:
    done = fill(pipeline.db, work, past, pipeline.publishing, **({"within_s": 60, "max_attempts": 3} | options))
    pipeline.catch_up()
    return done


def test_a_hole_is_recorded_once_filled_and_verified_and_its_bars_are_exact(
    pipeline: Any, hour: Any, binance: History
) -> None:
    _, lost = lose(pipeline, BINANCE, hour, 50, 200)
    first, last = lost[0].trade_id, lost[-1].trade_id
    assert (gaps.record_holes(pipeline.db, 60), gaps.record_holes(pipeline.db, 60)) == (1, 0)
    [work] = gaps.plan(pipeline.db, BOUNDS)
    assert work == Work(BINANCE, BTC, work.gap_ids, 200, f"binance:BTC-USDT {first}-{last}")
    window = pipeline.all("select window_from, window_to from gaps")
    assert window[0][0] <= datetime.fromtimestamp(lost[0].traded_at_us / 1e6, UTC)
    assert window[0][1] > datetime.fromtimestamp(lost[-1].traded_at_us / 1e6, UTC)

    assert attempt(pipeline, binance, work).published == 200
    assert [change.state for change in gaps.verify(pipeline.db, 3)] == ["verified"]
    assert pipeline.gaps() == [(BINANCE, BTC, "hole", first, last, "verified", 1, 200)]
    assert pipeline.differing_bars(BINANCE, BTC, *hour) == []
    # the first bar has none before it, the last none after
    unproven = pipeline.all("select count(*) from trades_1min_agg where proven_at is null")
    assert unproven == [(2,)]


def test_a_young_hole_is_left_alone(pipeline: Any) -> None:
    now = datetime.now(UTC)
    trades = pipeline.trades(BINANCE, BTC, now - timedelta(seconds=30), now)
    pipeline.stream([*trades[:3], *trades[5:]])
    assert gaps.record_holes(pipeline.db, 60) == 0
    assert gaps.record_holes(pipeline.db, 60, now + timedelta(minutes=3)) == 1


def test_a_cleared_fill_publishes_nothing_again(pipeline: Any, hour: Any, binance: History) -> None:
    lose(pipeline, BINANCE, hour, 50, 20)
    gaps.record_holes(pipeline.db, 60)
    [work] = gaps.plan(pipeline.db, BOUNDS)
    assert [attempt(pipeline, binance, work).published for _ in range(2)] == [20, 0]
    gaps.verify(pipeline.db, 3)
    assert attempt(pipeline, binance, work).published == 0
    assert pipeline.gaps()[0][5:] == ("verified", 2, 20)


def test_an_attempt_whose_time_is_up_goes_on_in_the_next_run_and_does_not_count(
    pipeline: Any, hour: Any, binance: History
) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream([*trades[:20], *trades[30:300], *trades[310:]])  # two holes, one page apart at most
    gaps.record_holes(pipeline.db, 60)
    [work] = gaps.plan(pipeline.db, BOUNDS)

    class Slow(Lacking):
        def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]:
            for page in super().trades(symbol, first_id, last_id):
                yield page[: len(page) // 2]  # as if the page ended there
                yield page[len(page) // 2 :]

    done = attempt(pipeline, Slow(binance, []), work, within_s=0)
    assert 0 < done.published < 20
    gaps.verify(pipeline.db, 3)
    assert {(row[5], row[6]) for row in pipeline.gaps()} == {("verified", 0), ("detected", 0)}
    [work] = gaps.plan(pipeline.db, BOUNDS)
    attempt(pipeline, binance, work)
    gaps.verify(pipeline.db, 3)
    assert [row[5] for row in pipeline.gaps()] == ["verified", "verified"]
    assert pipeline.differing_bars(BINANCE, BTC, *hour) == []


def test_ids_that_the_exchange_lacks_are_given_up_and_a_late_arrival_mends_that(
    pipeline: Any, hour: Any, binance: History
) -> None:
    _, lost = lose(pipeline, BINANCE, hour, 50, 10)
    gaps.record_holes(pipeline.db, 60)
    lacking = Lacking(binance, [trade.trade_id for trade in lost[4:]])
    states = []
    for _ in range(2):
        [work] = gaps.plan(pipeline.db, BOUNDS)
        attempt(pipeline, lacking, work, max_attempts=2)
        states += [change.state for change in gaps.verify(pipeline.db, 2)]
    assert states == ["detected", "unfillable"]
    assert gaps.plan(pipeline.db, BOUNDS) == []
    assert gaps.record_holes(pipeline.db, 60) == 0  # what was given up is not found anew
    [[detail]] = pipeline.all("select detail from gaps")
    assert f"the exchange gives nothing for {lost[4].trade_id}-{lost[9].trade_id}" in detail
    # people read the exchange's candle of such a minute
    assert pipeline.all("select count(*) > 0 from bars_1min where source = 'candle'") == [(True,)]

    pipeline.stream(lost)
    assert [change.state for change in gaps.verify(pipeline.db, 2)] == ["verified"]
    assert pipeline.differing_bars(BINANCE, BTC, *hour) == []


@pytest.mark.parametrize("status", [429, 418])
def test_an_exchange_that_wants_no_call_costs_a_gap_no_attempt(
    pipeline: Any, hour: Any, binance: History, status: int
) -> None:
    lose(pipeline, BINANCE, hour, 50, 10)
    gaps.record_holes(pipeline.db, 60)
    [work] = gaps.plan(pipeline.db, BOUNDS)
    pipeline.market.control.inject(RestError(exchange="binance", status=status, retry_after_s=600, count=1))
    assert attempt(pipeline, binance, work).published == 0
    assert [change.state for change in gaps.verify(pipeline.db, 1)] == ["detected"]
    assert pipeline.gaps()[0][5:] == ("detected", 0, 0)
    [[detail]] = pipeline.all("select detail from gaps")
    assert "600 s" in detail


def test_a_broker_that_takes_nothing_costs_a_gap_no_attempt(pipeline: Any, hour: Any, binance: History) -> None:
    from crypto_pipeline.raw_trades import NotDelivered, publishing

    lose(pipeline, BINANCE, hour, 50, 10)
    gaps.record_holes(pipeline.db, 60)
    [work] = gaps.plan(pipeline.db, BOUNDS)
    with pytest.raises(NotDelivered, match="10 trades are not acknowledged"):
        fill(
            pipeline.db, work, binance, lambda: publishing(pipeline.job.servers, "nothing_here", flush_s=0.5),
            within_s=60, max_attempts=3,
        )  # fmt: skip
    assert pipeline.gaps()[0][5:] == ("filling", 0, 0)
    [again] = gaps.plan(pipeline.db, BOUNDS)
    assert again == work


def test_what_is_too_large_or_too_old_names_the_history_dag(pipeline: Any, hour: Any) -> None:
    lose(pipeline, BINANCE, hour, 50, 10)
    gaps.record_holes(pipeline.db, 60)
    start = pipeline.all("select to_char(window_from, 'YYYY-MM-DD\"T\"HH24:MI') from gaps")[0][0]
    for bounds, reason in [
        (Bounds(0.4, 0.001, timedelta(days=7)), "too large: 10 ids take about"),
        (Bounds(0.4, 60, timedelta(minutes=1)), "too old: it began"),
    ]:
        assert gaps.plan(pipeline.db, bounds) == []
        [[detail]] = pipeline.all("select detail from gaps where state = 'detected'")
        assert detail.startswith(reason)
        assert f'crypto_pipeline_history_dag with {{"symbols": ["binance:BTC-USDT"], "from": "{start}"' in detail


def test_the_tail_of_a_stalled_feed_grows_by_new_rows_of_its_new_ids(pipeline: Any, hour: Any) -> None:
    from crypto_pipeline.monitor.freshness import Freshness, State

    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream(trades[:100])
    top = trades[99].trade_id
    for newest in (top + 50, top + 50, top + 80):
        found = Freshness(BINANCE, BTC, State.STALLED, newest, top, datetime.now(UTC), None)
        gaps.record_tail(pipeline.db, found)
    assert [row[2:6] for row in pipeline.gaps()] == [
        ("stale tail", top + 1, top + 50, "detected"),
        ("stale tail", top + 51, top + 80, "detected"),
    ]
    # once a later trade is in, the same ids are a hole in coverage, and still the same gaps
    pipeline.stream(trades[200:])
    gaps.record_holes(pipeline.db, 60)
    assert [row[2:5] for row in pipeline.gaps()] == [
        ("stale tail", top + 1, top + 50),
        ("stale tail", top + 51, top + 80),
        ("hole", top + 81, trades[200].trade_id - 1),
    ]


def test_kucoins_loss_between_connections_is_filled_by_its_last_trades(pipeline: Any, kucoin: History) -> None:
    now = datetime.now(UTC)
    trades = pipeline.trades(KUCOIN, BTC, now - timedelta(minutes=2), now)
    pipeline.stream([*trades[:-40], replace(trades[-20], prev_trade_id=None), *trades[-19:]])
    assert gaps.record_holes(pipeline.db, 60, now + timedelta(minutes=3)) == 1
    [work] = gaps.plan(pipeline.db, BOUNDS)
    assert attempt(pipeline, kucoin, work).published == 20
    assert [change.state for change in gaps.verify(pipeline.db, 3)] == ["verified"]


def test_kucoins_older_loss_is_mended_by_its_candles(pipeline: Any, hour: Any, kucoin: History) -> None:
    trades = pipeline.trades(KUCOIN, BTC, *hour)
    pipeline.stream([*trades[:100], replace(trades[200], prev_trade_id=None), *trades[201:]])
    gaps.record_holes(pipeline.db, 60)
    [work] = gaps.plan(pipeline.db, BOUNDS)
    attempt(pipeline, kucoin, work)
    assert [change.state for change in gaps.verify(pipeline.db, 3)] == ["verified"]
    [[start, end]] = pipeline.all("select window_from, window_to from gaps")
    shown = pipeline.all(
        "select distinct source, completeness from bars_1min where window_start >= %s and window_start < %s",
        start, end,
    )  # fmt: skip
    assert shown == [("candle", "candle")]
    # its ids never come, and are no new gap
    assert (gaps.record_holes(pipeline.db, 60), len(pipeline.gaps())) == (0, 1)


def test_a_tail_of_kucoin_that_candles_mended_is_recorded_no_second_time(
    pipeline: Any, hour: Any, kucoin: History
) -> None:
    from crypto_pipeline.monitor.freshness import Freshness, State

    trades = pipeline.trades(KUCOIN, BTC, *hour)
    pipeline.stream(trades[:100])
    found = Freshness(KUCOIN, BTC, State.STALLED, trades[200].trade_id, trades[99].trade_id, hour[1], None)
    assert gaps.record_tail(pipeline.db, found) == 1
    [work] = gaps.plan(pipeline.db, BOUNDS)
    attempt(pipeline, kucoin, work)
    assert [change.state for change in gaps.verify(pipeline.db, 3)] == ["verified"]
    assert gaps.record_tail(pipeline.db, found) == 0


def test_at_most_sixteen_symbols_are_planned_oldest_first(pipeline: Any) -> None:
    with pipeline.owner, pipeline.owner.cursor() as cursor:
        cursor.execute(
            "insert into gaps (exchange, symbol, kind, ids, window_from, window_to) "
            "select 'binance', 'S' || n || '-USDT', 'hole', '[1,2]', now() - n * interval '1 minute', now() "
            "from generate_series(1, 20) as n"
        )
    assert [work.symbol for work in gaps.plan(pipeline.db, BOUNDS)] == [f"S{n}-USDT" for n in range(20, 4, -1)]
