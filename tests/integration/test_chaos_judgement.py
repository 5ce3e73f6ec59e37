"""The verdict of a chaos: it holds where all is true, and names each promise that is broken."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from chaos.fault import FEED, fault
from chaos.ground import Ground
from chaos.judgement import Judgement, judge
from chaos.story import Aftermath, Occurrence
from model.demo import Demo

from local.exchange.control import Sent, TrueBar

SINCE = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(minutes=2)
KEY = ("binance", "BTC-USDT")
FAULTS = {"feed stalled": fault("feed stalled", "", lambda site: nullcontext(), loses=True, alerts=FEED)}
TOLD = [
    Aftermath(
        Occurrence(1, "feed stalled", SINCE, SINCE + timedelta(seconds=30), "binance"),
        *(SINCE, (), SINCE + timedelta(seconds=60), 10),
    )
]


@dataclass
class Mailed(Demo):
    """A database, and what was mailed."""

    inbox: list[dict[str, Any]] = field(default_factory=list)

    def mails(self) -> list[dict[str, Any]]:
        return self.inbox


class Traded:
    """An exchange that traded one bar a minute."""

    def true_bars(self, exchange: str, symbol: str, from_us: int, until_us: int) -> list[TrueBar]:
        one = Decimal(1)
        return [
            TrueBar(at_us, one, one, one, one, one, one, 10, one, one, at_us // 1_000_000, at_us // 1_000_000 + 9)
            for at_us in range(from_us, until_us, 60_000_000)
        ]

    def sent(self, exchange: str, symbol: str) -> Sent:
        return Sent([], {})


class Past:
    """A pipeline that is as promised, until a test breaks it with a statement."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.demo = Mailed(Path("/nowhere"), {}, dsn=dsn)
        self.ground = Ground(self.demo, Traded(), None, {}, [KEY])  # type: ignore[arg-type]  # as far as it is asked
        self.run("insert into exchanges values ('binance', true)")
        for minute in (SINCE, SINCE + timedelta(minutes=1)):
            first_id = int(minute.timestamp())
            self.run(
                "insert into trades_1min_agg values "
                "('binance', 'BTC-USDT', %s, 1, 1, 1, 1, 1, 1, 10, 1, 1, %s, %s, now(), now())",
                *(minute, first_id, first_id + 9),
            )

    def run(self, statement: str, *values: object) -> None:
        connection = psycopg2.connect(self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
        finally:
            connection.close()

    def judged(self) -> Judgement:
        return judge(self.ground, SINCE, UNTIL, TOLD, FAULTS)


@pytest.fixture
def past(new_database: Callable[[], str]) -> Past:
    return Past(new_database())


def test_where_all_is_true_it_holds(past: Past) -> None:
    past.run(
        "insert into alerts (what, about, opened_at, closed_at, mails_sent) "
        "values ('gap', 'binance:BTC-USDT', %s, now(), 2)",
        SINCE + timedelta(seconds=90),
    )
    past.demo.inbox = [{"subject": f"1 {news}: gap (binance:BTC-USDT)", "text": ""} for news in ("new", "over")]
    assert past.judged() == Judgement(SINCE, UNTIL, [], {"proven": 2}, [], 0, {}, {"gap": 1}, 2)


@pytest.mark.parametrize(
    ("broken", "wrong"),
    [
        ("update trades_1min_agg set close = 1.00000001", "proven: close 1.00000001 instead of 1"),
        ("update trades_1min_agg set trade_count = 11", "proven: trade_count 11 instead of 10"),
        ("update trades_1min_agg set taker_buy_volume = 0.5", "proven: taker_buy_volume 0.5 instead of 1"),
        ("update trades_1min_agg set proven_at = null", "incomplete"),
        ("delete from trades_1min_agg", "absent: no bar, and there were trades"),
    ],
)
def test_a_minute_that_is_wrong_or_not_vouched_for_is_named(past: Past, broken: str, wrong: str) -> None:
    verb, _, rest = broken.partition(" ")
    past.run(f"{verb} {rest} where window_start = %s", SINCE)
    assert past.judged().wrong == [f"binance BTC-USDT 03:00 {wrong}"]


def test_a_bar_of_a_minute_without_trades_is_one_too_many(past: Past) -> None:
    past.ground.truth.true_bars = lambda *_: []  # type: ignore[method-assign,assignment]
    assert past.judged().wrong == [
        f"binance BTC-USDT 03:0{minute} proven: a bar, and there were no trades" for minute in (0, 1)
    ]


def test_a_bar_of_a_symbol_that_nobody_trades_is_a_lie(past: Past) -> None:
    past.run("update trades_1min_agg set symbol = 'X-USDT' where window_start = %s", SINCE)
    assert past.judged().lies == ["there is a bar of binance X-USDT 2026-01-02 03:00, and can be none"]


def test_bad_messages_are_due_and_good_ones_must_not_be_rejected(past: Past) -> None:
    past.ground.planted |= {(0, 5): True, (0, 6): True, (0, 7): False}
    for offset in (5, 9):
        past.run(
            'insert into rejected_messages (topic, partition, "offset", value, reason) '
            "values ('raw_trades', 0, %s, '{}', 'not JSON')",
            offset,
        )
    judgement = past.judged()
    assert (judgement.lies, judgement.rejected) == (
        [
            "the bad message at partition 0, offset 6 is not in rejected_messages",
            "a good message was rejected, at partition 0, offset 9: not JSON",
        ],
        2,
    )


def test_an_alert_must_have_a_fault_that_explains_it_a_mail_and_an_end(past: Past) -> None:
    alert = (
        "insert into alerts (what, about, opened_at, closed_at, mails_sent, unsent) "
        "values (%s, %s, %s, %s, %s, %s)"
    )
    at, key = SINCE + timedelta(seconds=90), "binance:BTC-USDT"
    past.run(alert, "stream down", "stream", at, at, 0, None)  # a stalled feed explains no such thing
    past.run(alert, "gap", key, at + timedelta(hours=1), at + timedelta(hours=1), 0, None)
    past.run(alert, "stalled feed", key, at, None, 1, "changed")
    assert past.judged().lies == [
        "the alert stream down about stream, opened at 03:01:30, has no fault that explains it",
        f"the alert gap about {key}, opened at 04:01:30, has no fault that explains it",
        f"the alert stalled feed about {key} is still open",
        f"nobody was told that the alert stalled feed about {key} was changed",
        f"the alert stalled feed about {key} says 1 mails, and 0 name it",
    ]


def test_a_gap_must_be_concluded_explained_and_a_candle_named(past: Past) -> None:
    gap = (
        "insert into gaps (exchange, symbol, kind, ids, window_from, window_to, state, detected_at) "
        "values ('binance', 'BTC-USDT', 'hole', int8range(%s, %s), %s, %s, %s, %s)"
    )
    long_ago = SINCE - timedelta(days=1)
    past.run(gap, 1, 5, SINCE - timedelta(hours=1), SINCE, "filling", SINCE)
    past.run(gap, 5, 9, SINCE - timedelta(hours=1), SINCE, "unfillable", SINCE)
    past.run(gap, 9, 12, SINCE - timedelta(hours=1), SINCE, "verified", long_ago)
    past.run("update trades_1min_agg set proven_at = null where window_start = %s", SINCE)
    past.run("insert into candles_1min values ('binance', 'BTC-USDT', %s, 1, 1, 1, 1, 1, 1)", SINCE)
    judgement = past.judged()
    assert (judgement.wrong, judgement.minutes) == ([], {"candle": 1, "proven": 1})
    assert judgement.lies == [
        "the hole of binance:BTC-USDT [1, 5) is still filling",
        "the hole of binance:BTC-USDT [5, 9) is unfillable, and nobody knows why",
        "the hole of binance:BTC-USDT [9, 12) was recorded at 03:00:00, and no fault explains it",
        "binance BTC-USDT 03:00 shows a candle, and no gap says why",
    ]
