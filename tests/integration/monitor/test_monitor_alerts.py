"""What people are told: once when it opens, changes and closes, daily while it lasts, and never lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto_pipeline.monitor import causes, gaps
from crypto_pipeline.monitor.alerts import Alert, Condition, collect, settle, told
from crypto_pipeline.monitor.findings import mail_values, settle_feeds, settle_stream
from crypto_pipeline.monitor.freshness import Freshness, State
from crypto_pipeline.monitor.stream import Lag, StreamState

BINANCE, BTC, ABOUT = "binance", "BTC-USDT", "binance:BTC-USDT"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def news(pipeline: Any, now: datetime | None = None) -> list[tuple[str, str, str]]:
    """What, about and as what the next mail tells; then it is told."""
    due = collect(pipeline.db, now)
    told(pipeline.db, due, now)
    return [(alert.what, alert.about, alert.unsent) for alert in due]


def test_an_alert_is_told_when_it_opens_changes_and_closes_and_not_between(pipeline: Any) -> None:
    heard = []
    for conditions in (
        [Condition(ABOUT, "a", "1")], [Condition(ABOUT, "b", "1")], [Condition(ABOUT, "c", "2")], [], [],
    ):  # fmt: skip
        settle(pipeline.db, causes.GAP, conditions)
        heard.append([unsent for _, _, unsent in news(pipeline)])
    assert heard == [["opened"], [], ["changed"], ["closed"], []]


def test_what_could_not_be_sent_goes_out_later_as_what_it_is_then(pipeline: Any) -> None:
    settle(pipeline.db, causes.GAP, [Condition(ABOUT, "a", "1")])
    assert [alert.unsent for alert in collect(pipeline.db)] == ["opened"]  # and not told
    settle(pipeline.db, causes.GAP, [Condition(ABOUT, "b", "2")])
    assert [(a.unsent, a.detail) for a in collect(pipeline.db)] == [("opened", "b")]
    settle(pipeline.db, causes.GAP, [])
    assert [(a.unsent, a.mails_sent) for a in collect(pipeline.db)] == [("closed", 0)]


def test_each_day_a_mail_reminds_of_what_is_not_over(pipeline: Any) -> None:
    now = datetime.now(UTC)
    settle(pipeline.db, causes.GAP, [Condition(ABOUT, "a", "1")])
    heard = [news(pipeline, now + timedelta(hours=hours)) for hours in (0, 23, 25, 26, 50)]
    assert [[unsent for _, _, unsent in some] for some in heard] == [
        ["opened"],
        [],
        ["reminder"],
        [],
        ["reminder"],
    ]


def test_what_cannot_be_judged_stays_as_it_is(pipeline: Any) -> None:
    stalled = Freshness(BINANCE, BTC, State.STALLED, 20, 10, datetime.now(UTC), datetime.now(UTC))
    settle_feeds(pipeline.db, [stalled], {}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == [(causes.STALLED_FEED, ABOUT, "opened")]
    settle_feeds(pipeline.db, [], {BINANCE: "418 banned"}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == [(causes.EXCHANGE_AWAY, BINANCE, "opened")]
    settle_feeds(pipeline.db, [], {}, [BINANCE], datetime.now(UTC), 0.4)
    assert news(pipeline) == []
    settle_feeds(pipeline.db, [], {}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == [
        (causes.EXCHANGE_AWAY, BINANCE, "closed"), (causes.STALLED_FEED, ABOUT, "closed"),
    ]  # fmt: skip


def test_a_feed_that_began_to_deliver_while_it_was_judged_is_no_news(pipeline: Any, hour: Any) -> None:
    """As where the monitor's first run begins before the producer does."""
    never = Freshness(BINANCE, BTC, State.NEVER_DELIVERED, 10, None, datetime.now(UTC), None)
    settle_feeds(pipeline.db, [never], {}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == [(causes.NEVER_DELIVERED, ABOUT, "opened")]
    pipeline.stream(pipeline.trades(BINANCE, BTC, *hour))
    settle_feeds(pipeline.db, [never], {}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == [(causes.NEVER_DELIVERED, ABOUT, "closed")]


def test_a_halted_market_is_a_note_and_sends_no_mail(pipeline: Any) -> None:
    halted = Freshness(BINANCE, BTC, State.HALTED, 10, 10, datetime.now(UTC), datetime.now(UTC))
    settle_feeds(pipeline.db, [halted], {}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == []
    assert len(mail_values(pipeline.db, [], "http://run", datetime.now(UTC))["notes"]) == 1
    settle_feeds(pipeline.db, [], {}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, [(causes.STREAM_DOWN, "stream", "opened")]),
        (StreamState(False, False, Lag(5, 60.0), None), [(causes.STREAM_DOWN, "stream", "opened")]),
        (StreamState(False, True, Lag(5, 60.0), 3.0), [(causes.STREAM_BEHIND, "stream", "opened")]),
        (StreamState(True, True, Lag(5, 60.0), 3.0), []),
    ],
)
def test_a_stream_is_down_behind_or_well(pipeline: Any, state: StreamState | None, expected: Any) -> None:
    settle_stream(pipeline.db, state, "driver-1 RUNNING", "the broker does not answer")
    assert news(pipeline) == expected


def test_a_gap_filled_within_its_run_is_named_in_one_mail_and_closed_by_the_next(pipeline: Any, hour: Any) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream([*trades[:50], *trades[60:]])
    began = datetime.now(UTC)
    gaps.record_holes(pipeline.db, 60)
    pipeline.stream(trades[50:60])
    gaps.verify(pipeline.db, 3)
    settle_feeds(pipeline.db, [], {}, [], began, 0.4)
    due = collect(pipeline.db)
    values = mail_values(pipeline.db, due, "http://run", datetime.now(UTC))
    assert values["subject"] == "1 new: gap (binance:BTC-USDT)"
    [line] = values["sections"][0]["alerts"][0]["lines"]
    assert line.startswith(f"hole, ids {trades[50].trade_id} to {trades[59].trade_id} (10), minutes ")
    assert "verified" in line
    told(pipeline.db, due)
    settle_feeds(pipeline.db, [], {}, [], datetime.now(UTC), 0.4)
    assert news(pipeline) == [(causes.GAP, ABOUT, "closed")]


def test_the_tail_of_a_feed_that_stands_is_told_under_its_cause_and_its_growth_is_no_news(
    pipeline: Any, hour: Any
) -> None:
    trades = pipeline.trades(BINANCE, BTC, *hour)
    pipeline.stream(trades[:100])
    top, began = trades[99].trade_id, datetime.now(UTC)
    heard = []
    for newest in (top + 50, top + 90):
        found = Freshness(BINANCE, BTC, State.STALLED, newest, top, datetime.now(UTC), None)
        gaps.record_tail(pipeline.db, found)
        settle_feeds(pipeline.db, [found], {}, [], began, 0.4)
        heard.append(news(pipeline))
    assert heard == [[(causes.STALLED_FEED, ABOUT, "opened")], []]


def test_alerts_that_the_job_opened_are_mailed_and_over_after_a_day(pipeline: Any) -> None:
    now = datetime.now(UTC)
    with pipeline.owner, pipeline.owner.cursor() as cursor:
        cursor.execute("insert into alerts (what, about) values ('late trade', 'binance BTC-USDT 10:00')")
    assert [news(pipeline, now + timedelta(hours=hours)) for hours in (0, 1, 25)] == [
        [("late trade", "binance BTC-USDT 10:00", "opened")], [],
        [("late trade", "binance BTC-USDT 10:00", "closed")],
    ]  # fmt: skip


def test_a_mail_of_many_symbols_stays_readable(pipeline: Any) -> None:
    alerts = [
        Alert(n, causes.STALLED_FEED, f"binance:S{n:03}-USDT", "d", LONG_AGO, LONG_AGO, None, 0, "opened")
        for n in range(200)
    ]
    values = mail_values(pipeline.db, alerts, "http://run", datetime.now(UTC))
    [section] = values["sections"]
    assert (len(section["alerts"]), section["more"]) == (50, 150)
    assert len(values["subject"]) < 150
