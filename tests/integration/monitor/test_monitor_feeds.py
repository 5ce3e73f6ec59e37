"""Quiet, halted and stalled feeds told apart; lag kept from being called loss; KuCoin's bars against candles."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto_pipeline.monitor.candle_check import Compared, compare
from crypto_pipeline.monitor.freshness import State, check
from crypto_pipeline.monitor.stream import BrokerAway, bounds, look
from crypto_pipeline.shared_budget import SharedBudget
from local.exchange.faults import RestError
from producer.exchanges.adapter import Newest
from producer.history import ExchangeAway, History

BINANCE, KUCOIN, BTC, ETH, TRX = "binance", "kucoin", "BTC-USDT", "ETH-USDT", "TRX-USDT"


class Told:
    """An exchange that names these newest ids, one answer after the other, the last for ever.

    behind_s: by how much its clock is behind.
    """

    def __init__(self, *answers: dict[str, int], behind_s: float = 0.0) -> None:
        self._answers = list(answers)
        self._behind_s = behind_s

    def now_us(self) -> int:
        return int((time.time() - self._behind_s) * 1e6)

    def newest(self, symbols: Sequence[str]) -> dict[str, Newest]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return {symbol: Newest(answer[symbol], None) for symbol in symbols if symbol in answer}


def states(pipeline: Any, past: Any, symbols: Sequence[str], **options: Any) -> dict[str, State]:
    found = check(
        pipeline.db, BINANCE, symbols, past, options.pop("caught_up", lambda: True),
        **({"grace_s": 0, "first_grace_s": 0, "confirm_margin_s": 10, "halt_after_s": 600} | options),
    )  # fmt: skip
    assert found is not None
    return {one.symbol: one.state for one in found}


def test_each_feed_is_named_for_what_it_is(pipeline: Any, hour: Any) -> None:
    btc, eth, trx = (pipeline.trades(BINANCE, symbol, *hour) for symbol in (BTC, ETH, TRX))
    pipeline.stream(btc)
    pipeline.stream(eth)
    pipeline.stream(trx)
    newest = {BTC: btc[-1].trade_id, ETH: eth[-1].trade_id + 5, TRX: trx[-1].trade_id - 1}
    # an hour without a trade is unusual for a market of one a second, but only while others trade
    assert states(pipeline, Told(newest), [BTC, ETH, TRX]) == {
        BTC: State.HALTED, ETH: State.STALLED, TRX: State.FRESH,
    }  # fmt: skip
    assert states(pipeline, Told(newest), [BTC]) == {BTC: State.QUIET}
    assert states(pipeline, Told(newest), [BTC, ETH], halt_after_s=1e6)[BTC] is State.QUIET


def test_a_symbol_that_never_delivered_is_named_once_the_exchange_trades_it(pipeline: Any) -> None:
    assert states(pipeline, Told({BTC: 100}), [BTC]) == {BTC: State.UNHEARD}
    assert states(pipeline, Told({BTC: 100}, {BTC: 101}), [BTC]) == {BTC: State.NEVER_DELIVERED}


def test_the_first_trade_of_a_symbol_may_take_longer_than_others(pipeline: Any, hour: Any) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    newest = trades[-1].trade_id
    found = states(
        pipeline, Told({BTC: newest}, {BTC: newest + 1}), [BTC], first_grace_s=60, halt_after_s=1e6,
        sleep=lambda _: pipeline.stream(trades),
    )  # fmt: skip
    assert found == {BTC: State.QUIET}


def test_a_trade_that_arrives_within_the_grace_stalls_nothing(pipeline: Any, hour: Any) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream(trades[:-1])
    newest = {BTC: trades[-1].trade_id}
    found = states(
        pipeline, Told(newest), [BTC], grace_s=60, halt_after_s=1e6,
        caught_up=lambda: True, sleep=lambda _: pipeline.stream(trades[-1:]),
    )  # fmt: skip
    assert found == {BTC: State.QUIET}


def test_a_job_that_falls_behind_meanwhile_leaves_an_exchange_unjudged(pipeline: Any, hour: Any) -> None:
    pipeline.stream(pipeline.trades(BINANCE, BTC, *hour))
    found = check(
        pipeline.db, BINANCE, [BTC], Told({BTC: 1}), lambda: False,
        grace_s=0, first_grace_s=0, confirm_margin_s=0, halt_after_s=600,
    )  # fmt: skip
    assert found is None


def test_the_exchanges_word_proves_the_newest_minutes_of_a_quiet_market(pipeline: Any, hour: Any) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream(trades)
    last = "select proven_at is not null from trades_1min_agg order by window_start desc limit 1"
    assert pipeline.all(last) == [(False,)]
    asked_from = datetime.now(UTC)
    states(pipeline, Told({BTC: trades[-1].trade_id}), [BTC], confirm_margin_s=10)
    assert pipeline.all(last) == [(True,)]
    [[confirmed]] = pipeline.all("select confirmed_through from coverage")
    assert asked_from - timedelta(seconds=11) < confirmed <= datetime.now(UTC) - timedelta(seconds=10)


def test_it_is_the_exchanges_clock_that_says_which_minutes_are_over(pipeline: Any, hour: Any) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream(trades)
    last = "select proven_at is not null from trades_1min_agg order by window_start desc limit 1"
    [[minute]] = pipeline.all("select max(window_start) from trades_1min_agg")
    within_s = (datetime.now(UTC) - minute).total_seconds() - 59  # there, the minute has a second to go
    states(pipeline, Told({BTC: trades[-1].trade_id}, behind_s=within_s), [BTC], confirm_margin_s=0)
    assert pipeline.all(last) == [(False,)]
    states(pipeline, Told({BTC: trades[-1].trade_id}, behind_s=within_s - 2), [BTC], confirm_margin_s=0)
    assert pipeline.all(last) == [(True,)]


def test_a_stalled_feed_is_never_confirmed(pipeline: Any, hour: Any) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream(trades)
    states(pipeline, Told({BTC: trades[-1].trade_id + 1}), [BTC])
    assert pipeline.all("select confirmed_through from coverage") == [(None,)]


def test_lag_is_waited_for_and_measured(pipeline: Any, hour: Any) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream(trades[:10])
    pipeline.job.running.clear()
    with pipeline.publishing() as publish:
        publish(trades[10:40])
    held = look(pipeline.db, pipeline.job.servers, pipeline.job.topic, patience_s=0.5)
    assert (held.passed, held.moved, held.lag.messages) == (False, False, 30)
    assert 0 < held.lag.age_s < 60
    resume = threading.Timer(0.5, pipeline.job.running.set)
    resume.start()
    caught_up = look(pipeline.db, pipeline.job.servers, pipeline.job.topic, patience_s=30)
    resume.join()
    assert (caught_up.passed, caught_up.moved, caught_up.lag.messages) == (True, True, 30)
    after = look(pipeline.db, pipeline.job.servers, pipeline.job.topic, patience_s=30)
    assert (after.passed, after.lag.messages, after.lag.age_s) == (True, 0, 0.0)
    assert after.batch_age_s is not None


def test_a_broker_or_topic_that_is_away_says_so(pipeline: Any) -> None:
    with pytest.raises(BrokerAway, match=r"127\.0\.0\.1:1 does not answer"):
        bounds("127.0.0.1:1", "raw_trades")
    with pytest.raises(BrokerAway, match="has no topic nothing_here: create it, or set KAFKA_TOPIC"):
        bounds(pipeline.job.servers, "nothing_here")


@pytest.fixture
def kucoin(pipeline: Any) -> Iterator[History]:
    with History(KUCOIN, pipeline.market.url, weight_share=0.9, patience_s=3) as history:
        yield history


def test_a_trade_that_kucoin_dropped_shows_against_its_candle_which_is_kept(
    pipeline: Any, hour: Any, kucoin: History
) -> None:
    trades = pipeline.trades(KUCOIN, BTC, *hour)
    # the server drops trades, and the connection attests that none lies between
    pipeline.stream([*trades[:300], replace(trades[320], prev_trade_id=trades[299].trade_id), *trades[321:]])
    day = timedelta(days=1)
    first = compare(pipeline.db, KUCOIN, BTC, kucoin, lookback=day, now=hour[1])
    assert (first.minutes, first.different >= 1) == (8, True)  # the first and the last minute are not attested
    assert compare(pipeline.db, KUCOIN, BTC, kucoin, lookback=day, now=hour[1]).different == 0
    [[kind, state, detail]] = pipeline.all("select kind, state, detail from gaps")
    assert (kind, state) == ("candle difference", "verified")
    assert "candle" in detail
    true = {
        bar.window_start_us: bar.volume
        for bar in pipeline.market.control.true_bars(KUCOIN, BTC, *(int(at.timestamp() * 1e6) for at in hour))
    }
    shown = pipeline.all("select window_start, volume from bars_1min where source = 'candle'")
    assert len(shown) == first.different
    assert all(volume == true[int(start.timestamp() * 1e6)] for start, volume in shown)


def test_bars_that_equal_their_candles_leave_no_trace(pipeline: Any, hour: Any, kucoin: History) -> None:
    pipeline.stream(pipeline.trades(KUCOIN, BTC, *hour))
    found = compare(pipeline.db, KUCOIN, BTC, kucoin, lookback=timedelta(days=1), now=hour[1])
    assert found == Compared(8, 0)
    assert (pipeline.all("select * from candles_1min"), pipeline.gaps()) == ([], [])


def test_tasks_share_one_budget_and_one_ban(pipeline: Any) -> None:
    waits: list[float] = []

    class Enough(Exception):
        pass

    def stop(seconds: float) -> None:
        waits.append(seconds)
        raise Enough

    # two budgets, as of two processes; 100 of 6,000 a minute
    one, other = (SharedBudget(pipeline.db, BINANCE, "monitor", 100 / 6000, stop) for _ in range(2))
    history = SharedBudget(pipeline.db, BINANCE, "history", 100 / 6000, stop)
    for budget in (one, other, one, other):
        budget.spend(25)
    with pytest.raises(Enough):
        one.spend(25)
    assert 50 < waits[0] <= 60
    history.spend(25)  # another part's share is untouched
    assert history.closed_for_s() == 0

    pipeline.market.control.inject(RestError(exchange="binance", status=418, retry_after_s=300, count=1))
    with (
        History(BINANCE, pipeline.market.url, weight_share=1, patience_s=1, budget=history) as banned,
        pytest.raises(ExchangeAway, match="no call for 300 s"),
    ):
        banned.newest([BTC])
    assert 290 < one.closed_for_s() <= 300
