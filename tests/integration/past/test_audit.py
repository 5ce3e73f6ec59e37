"""Bars against the exchange's candles: what is found, what is rebuilt, and what stands."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.audit.comparison import SymbolAudit, audit_symbol, certify, symbols_to_audit
from crypto_pipeline.audit.rebuild import Bounds
from crypto_pipeline.period import BadPeriod, Period, read_period
from crypto_pipeline.raw_trades import wait_until_seen
from local.exchange.launch import Simulator
from producer.exchanges.adapter import Candle
from producer.history import History
from producer.trade import Trade

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 21, 10, 20, 33, tzinfo=UTC)
BINANCE, KUCOIN, BTC = "binance", "kucoin", "BTC-USDT"
DIFFERENCES = (
    "select field, bar_value, candle_value, state, rebuilds, detail from bar_differences "
    "order by window_start, field"
)


class Altered:
    """The exchange's past, but for what a test makes of it."""

    def __init__(
        self,
        history: History,
        candle: Callable[[Candle], Candle | None] = lambda candle: candle,
        trade: Callable[[Trade], bool] = lambda trade: True,
    ) -> None:
        self._history, self._candle, self._trade = history, candle, trade
        self.pages = 0

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]:
        told = self._history.candles(symbol, from_us, until_us)
        return [found for candle in told if (found := self._candle(candle))]

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]:
        for page in self._history.trades(symbol, first_id, last_id):
            self.pages += 1
            yield [trade for trade in page if self._trade(trade)]


@pytest.fixture
def binance(past_exchange: Simulator) -> Iterator[History]:
    with History(BINANCE, past_exchange.url, weight_share=0.5) as history:
        yield history


@pytest.fixture
def kucoin(past_exchange: Simulator) -> Iterator[History]:
    with History(KUCOIN, past_exchange.url, weight_share=0.5) as history:
        yield history


def audit(pipeline: Any, past: Any, exchange: str, period: Period) -> SymbolAudit:
    with pipeline.publishing() as publish:
        return audit_symbol(pipeline.db, past, publish, exchange, BTC, period, Bounds(patience_s=15))


def minute_us(period: Period, number: int) -> int:
    return int((period.start + number * MINUTE).timestamp()) * 1_000_000


@pytest.fixture
def period(hour: tuple[datetime, datetime]) -> Period:
    """Twenty minutes in the middle of the hour that is streamed."""
    return Period(hour[0] + 10 * MINUTE, hour[0] + 30 * MINUTE)


@pytest.fixture
def streamed(stream: Any, hour: tuple[datetime, datetime], pipeline: Any) -> Any:
    stream(BINANCE, BTC, *hour)
    return pipeline


def test_bars_of_the_exchanges_own_trades_equal_its_candles_in_every_field(
    streamed: Any, binance: History, period: Period
) -> None:
    assert audit(streamed, binance, BINANCE, period) == SymbolAudit(BINANCE, BTC, 20, 0, 0, 0, 20, 0, 0, 0)
    assert streamed.rows(DIFFERENCES) == []
    assert streamed.rows("select count(*) from candles_1min") == [(20,)]


def test_a_wrong_bar_is_rebuilt_from_the_exchanges_trades_and_then_equal(
    streamed: Any, binance: History, period: Period
) -> None:
    ((volume, high),) = streamed.rows(
        "select volume, high from trades_1min_agg where window_start = %s", period.start + 3 * MINUTE
    )
    true = streamed.rows("select * from audited_minutes(%s, %s, %s, %s)", BINANCE, BTC, period.start, period.end)
    streamed.change(
        "update trades_1min_agg set volume = volume + 1, high = high * 2 where window_start = %s",
        period.start + 3 * MINUTE,
    )
    assert audit(streamed, binance, BINANCE, period) == SymbolAudit(BINANCE, BTC, 20, 0, 0, 0, 20, 0, 0, 1)
    detail = "rebuilt from the trades that the exchange gives over REST"
    assert streamed.rows(DIFFERENCES) == [
        ("high", high * 2, high, "settled", 1, detail),
        ("volume", volume + 1, volume, "settled", 1, detail),
    ]
    assert [row[:2] for row in true] == [
        row[:2]
        for row in streamed.rows(
            "select * from audited_minutes(%s, %s, %s, %s)", BINANCE, BTC, period.start, period.end
        )
    ]
    assert streamed.rows("select seen = wanted * seen, missing_ids(exchange, symbol, %s, %s)::text from coverage",
                         period.start, period.end) == [(True, "{}")]  # fmt: skip


def test_what_differs_after_its_rebuild_stands_and_is_not_rebuilt_again(
    streamed: Any, binance: History, period: Period
) -> None:
    def wrong(candle: Candle) -> Candle:
        if candle.opened_at_us != minute_us(period, 5):
            return candle
        return replace(candle, taker_buy_volume=Decimal("0.5"))

    past = Altered(binance, wrong)
    assert audit(streamed, past, BINANCE, period) == SymbolAudit(BINANCE, BTC, 20, 0, 0, 0, 19, 1, 0, 1)
    ((field, ours, theirs, state, rebuilds, detail),) = streamed.rows(DIFFERENCES)
    assert (field, theirs, state, rebuilds) == ("taker_buy_volume", Decimal("0.5"), "stands", 1)
    assert ours != theirs
    assert (
        detail
        == "still different after its trades were fetched again: trades and candles of the exchange disagree"
    )
    pages = past.pages
    assert audit(streamed, past, BINANCE, period).rebuilt == 0
    assert past.pages == pages
    assert audit(streamed, binance, BINANCE, period).equal == 20  # the exchange has corrected its candle
    assert [(row[3], row[5]) for row in streamed.rows(DIFFERENCES)] == [
        ("settled", "equal by now: bar or candle has changed since")
    ]


def test_a_bar_is_not_given_up_for_trades_that_cannot_be_had(
    streamed: Any, binance: History, period: Period
) -> None:
    broken = period.start + 3 * MINUTE
    streamed.change("update trades_1min_agg set low = low / 2 where window_start = %s", broken)
    ((first_id, last_id, low),) = streamed.rows(
        "select first_trade_id, last_trade_id, low from trades_1min_agg where window_start = %s", broken
    )
    past = Altered(binance, trade=lambda trade: trade.trade_id != first_id + 1)
    assert audit(streamed, past, BINANCE, period) == SymbolAudit(BINANCE, BTC, 20, 0, 0, 0, 19, 1, 0, 1)
    assert [(row[0], row[3], row[4], row[5]) for row in streamed.rows(DIFFERENCES)] == [
        ("low", "stands", 0, f"not rebuilt: over REST the exchange gives {last_id - first_id} of the trades "
         f"{first_id}-{last_id}")
    ]  # fmt: skip
    assert streamed.rows("select low from trades_1min_agg where window_start = %s", broken) == [(low,)]


def test_a_rebuild_that_was_killed_after_forgetting_is_taken_up_by_the_next_audit(
    streamed: Any, binance: History, period: Period
) -> None:
    broken = period.start + 3 * MINUTE
    streamed.change("update trades_1min_agg set low = low / 2 where window_start = %s", broken)

    class KilledError(Exception):
        pass

    def killed(trades: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        audit_symbol(streamed.db, binance, killed, BINANCE, BTC, period)
    assert [row[3:5] for row in streamed.rows(DIFFERENCES)] == [("rebuilding", 1)]
    ((missing,),) = streamed.rows(
        "select missing_ids(exchange, symbol, %s, %s)::text from coverage", period.start, period.end
    )
    assert missing != "{}"
    result = audit(streamed, binance, BINANCE, period)
    # its neighbours stay proven: what they rest on was proven before
    assert (result.proven, result.unproven, result.different, result.rebuilt) == (19, 1, 0, 0)
    first_id, end_id = (int(number) for number in missing.strip("{[)}").split(","))
    with streamed.publishing() as publish:  # the monitor's part
        for page in binance.trades(BTC, first_id, end_id - 1):
            publish(page)
    assert wait_until_seen(streamed.db, BINANCE, BTC, [(first_id, end_id - 1)], 15) == []
    assert audit(streamed, binance, BINANCE, period) == SymbolAudit(BINANCE, BTC, 20, 0, 0, 0, 20, 0, 0, 0)
    assert [row[3:5] for row in streamed.rows(DIFFERENCES)] == [("settled", 1)]


def test_minutes_without_a_candle_of_the_exchange_are_told_apart(
    streamed: Any, binance: History, period: Period
) -> None:
    past = Altered(binance, lambda candle: None if candle.opened_at_us == minute_us(period, 0) else candle)
    assert audit(streamed, past, BINANCE, period) == SymbolAudit(BINANCE, BTC, 20, 0, 0, 0, 19, 0, 1, 0)
    assert streamed.rows(DIFFERENCES) == []


def test_a_minute_proven_empty_is_compared_too(streamed: Any, binance: History, period: Period) -> None:
    quiet = period.start + 4 * MINUTE
    ((first_id, last_id),) = streamed.rows(
        "delete from trades_1min_agg where window_start = %s returning first_trade_id, last_trade_id", quiet
    )
    assert last_id > first_id
    assert audit(streamed, binance, BINANCE, period) == SymbolAudit(BINANCE, BTC, 19, 0, 1, 0, 19, 1, 0, 0)
    rows = streamed.rows(DIFFERENCES)
    assert {row[0] for row in rows} >= {"volume", "trade_count", "quote_volume"}
    assert {(row[1], row[3], row[4]) for row in rows} == {(Decimal(0), "stands", 0)}
    emptied = Altered(
        binance,
        lambda candle: (
            replace(candle, volume=Decimal(0), trade_count=0)
            if candle.opened_at_us == minute_us(period, 4)
            else candle
        ),
    )
    assert audit(streamed, emptied, BINANCE, period).equal == 20


def test_an_attested_bar_that_differs_stands_and_its_candle_is_what_people_read(
    stream: Any, pipeline: Any, kucoin: History, hour: tuple[datetime, datetime], period: Period
) -> None:
    stream(KUCOIN, BTC, *hour)
    assert audit(pipeline, kucoin, KUCOIN, period).different == 0
    pipeline.change(
        "update trades_1min_agg set volume = volume + 1 where window_start = %s", period.start + 3 * MINUTE
    )
    result = audit(pipeline, kucoin, KUCOIN, period)
    assert (result.attested + result.empty, result.equal, result.different, result.rebuilt) == (20, 19, 1, 0)
    assert [(row[0], row[3], row[4]) for row in pipeline.rows(DIFFERENCES)] == [("volume", "stands", 0)]
    assert pipeline.rows("select source from bars_1min where window_start = %s", period.start + 3 * MINUTE) == [
        ("candle",)
    ]


def test_a_candle_that_was_fetched_before_its_bar_was_proven_says_nothing(
    streamed: Any, binance: History, period: Period
) -> None:
    audit(streamed, binance, BINANCE, period)
    streamed.change("update candles_1min set volume = 0, fetched_at = fetched_at - interval '1 hour'")
    assert streamed.rows(
        "select distinct verdict from audited_minutes(%s, %s, %s, %s)", BINANCE, BTC, period.start, period.end
    ) == [(None,)]


def test_a_certificate_counts_a_days_minutes_and_is_mailed_again_only_when_it_changes(
    streamed: Any, binance: History, period: Period, hour: tuple[datetime, datetime]
) -> None:
    streamed.change("update trades_1min_agg set low = low / 2 where window_start = %s", period.start + 3 * MINUTE)
    streamed.change(
        "insert into gaps (exchange, symbol, kind, ids, window_from, window_to, state) values "
        "(%s, %s, 'hole', '[1,3)', %s, %s, 'verified'), (%s, %s, 'hole', '[5,6)', %s, %s, 'unfillable')",
        BINANCE, BTC, period.start, period.start + 2 * MINUTE, BINANCE, BTC, period.end - MINUTE, period.end,
    )  # fmt: skip
    audit(streamed, binance, BINANCE, period)
    certify(streamed.db, BINANCE, BTC, period)
    query = (
        "select day, covers_from, covers_until, minutes_proven, minutes_attested, minutes_empty, "
        "minutes_unproven, minutes_repaired, minutes_unfillable, minutes_equal, minutes_different, "
        "minutes_without_candle, mailed_at is null from certificates"
    )
    counts = (period.start.date(), period.start, period.end, 20, 0, 0, 0, 3, 1, 20, 0, 0)
    assert streamed.rows(query) == [(*counts, True)]
    streamed.change("update certificates set mailed_at = now()")
    certify(streamed.db, BINANCE, BTC, period)
    certify(streamed.db, BINANCE, BTC, Period(period.start, period.end - MINUTE))  # less than what is certified
    assert streamed.rows(query) == [(*counts, False)]
    # the day from its first bar on, whose bar nothing proves
    certify(streamed.db, BINANCE, BTC, Period(hour[0] - timedelta(hours=2), period.end))
    ((_, covers_from, _, proven, *_, unsent),) = streamed.rows(query)
    assert (covers_from, proven, unsent) == (hour[0], 29, True)


def test_symbols_are_those_with_bars_in_the_period(streamed: Any, period: Period) -> None:
    assert symbols_to_audit(streamed.db, period) == [(BINANCE, BTC)]
    assert symbols_to_audit(streamed.db, period, ["binance:BTC-USDT"]) == [(BINANCE, BTC)]
    with pytest.raises(BadPeriod, match="symbols: of kucoin:BTC-USDT there is no bar in the period"):
        symbols_to_audit(streamed.db, period, ["binance:BTC-USDT", "kucoin:BTC-USDT"])


def test_the_period_ends_where_candles_are_closed_and_starts_with_an_hour() -> None:
    lookback = timedelta(hours=26)
    at = datetime(2026, 11, 21, tzinfo=UTC).replace
    assert read_period(NOW, None, None, lookback) == Period(
        datetime(2026, 11, 20, 8, tzinfo=UTC), at(hour=10, minute=18)
    )
    assert read_period(NOW, "2026-11-21T09:00", "2026-11-21T09:30:59", lookback) == Period(
        at(hour=9), at(hour=9, minute=30)
    )
    assert read_period(NOW, "2026-11-21T10:00:00+01:00", "2027-01-01", lookback) == Period(
        at(hour=9), at(hour=10, minute=18)
    )
    with pytest.raises(BadPeriod, match="from: 'yesterday' is no time: write it as 2026-11-21T10:00"):
        read_period(NOW, "yesterday", None, lookback)
    with pytest.raises(BadPeriod, match="from: 2026-11-21 10:19 is not before 2026-11-21 10:18"):
        read_period(NOW, "2026-11-21T10:19", None, lookback)


def test_a_period_knows_its_days() -> None:
    period = Period(datetime(2026, 11, 19, 22, tzinfo=UTC), datetime(2026, 11, 21, 1, tzinfo=UTC))
    assert [day.start.date() for day in period.days()] == [date(2026, 11, 20)]
    assert period.days(partly=True) == [
        Period(period.start, datetime(2026, 11, 20, tzinfo=UTC)),
        Period(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)),
        Period(datetime(2026, 11, 21, tzinfo=UTC), period.end),
    ]
