"""The kernel alone: one task's messages in, what they add to bars and coverage out."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import market, reference
from model.market import T0_US

from producer.trade import MalformedTrade, Trade, from_wire, to_wire
from spark_processor import kernel
from spark_processor.judge import Bounds, Judged, judge

NOTHING = kernel.Coverage.of([], [])
TRADE = Trade("binance", "BTC-USDT", 10, 9, Decimal("100.5"), Decimal("2"), "buy", T0_US, T0_US + 1000, "ws")
SEEN = kernel.Coverage.of([("binance", "BTC-USDT", 1, 9)], [])


def evaluate(
    values: Iterable[bytes | None], coverage: kernel.Coverage = NOTHING
) -> dict[str, list[dict[str, Any]]]:
    """The result by kind of row, each row without its empty columns."""
    rows = [(value, b"key", 3, 1000 + place) for place, value in enumerate(values)]
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ("bar", "ids", "rejected", "counts")}
    for row in kernel.evaluate(kernel.table_of(rows, kernel.MESSAGES), coverage).to_pylist():
        found[row["kind"]].append({k: v for k, v in row.items() if v is not None and k != "kind"})
    return found


def of(*trades: Trade, coverage: kernel.Coverage = NOTHING) -> dict[str, list[dict[str, Any]]]:
    return evaluate([to_wire(trade) for trade in trades], coverage)


def test_a_trade_becomes_a_bar_and_accounts_for_its_ids() -> None:
    assert of(TRADE) == {
        "bar": [
            {
                "exchange": "binance",
                "symbol": "BTC-USDT",
                "minute": T0_US // 60_000_000,
                **dict.fromkeys(["open", "high", "low", "close"], "100.50000000"),
                **dict.fromkeys(["volume", "taker_buy_volume"], "2.00000000"),
                **dict.fromkeys(["quote_volume", "taker_buy_quote_volume"], "201.0000000000000000"),
                "trades": 1,
                "first_id": 10,
                "last_id": 10,
                "last_traded_at_us": T0_US,
            }
        ],
        "ids": [
            {
                "exchange": "binance",
                "symbol": "BTC-USDT",
                "seen": "{[10,11)}",
                "first_id": 10,
                "last_id": 10,
                "live_from": 10,
            }
        ],
        "rejected": [],
        "counts": [
            {
                "messages": 1,
                "rejected": 0,
                "duplicates": 0,
                "contradictions": 0,
                "newest_received_at_us": T0_US + 1000,
            }
        ],
    }


@settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**62))
def test_bars_are_exact_whatever_the_spelling_order_and_size_of_numbers(seed: int) -> None:
    random = Random(seed)
    published = market.published(random, market.trades(random, "binance", "BTC-USDT"))
    random.shuffle(published)
    if not published:
        return
    found = evaluate([market.wire(random, message) for message in published])
    assert found["rejected"] == []
    assert reference.merged(found["bar"]) == reference.bars(published)


def test_every_kind_of_message_that_is_no_trade_is_refused_with_its_reason_and_place() -> None:
    bad = market.no_trades("binance", "BTC-USDT")
    found = evaluate([to_wire(TRADE), *bad.values(), to_wire(replace(TRADE, trade_id=11, prev_trade_id=10))])
    assert [row["reason"] for row in found["rejected"]] == list(bad)
    assert [(row["partition"], row["offset"]) for row in found["rejected"]] == [
        (3, 1001 + place) for place in range(len(bad))
    ]
    assert [row.get("value") for row in found["rejected"]] == [
        value if value is None else "\\x" + value.hex() for value in bad.values()
    ]
    assert [row["key"] for row in found["rejected"]] == ["\\x" + b"key".hex()] * len(bad)
    assert found["counts"][0]["rejected"] == len(bad)
    assert [row["seen"] for row in found["ids"]] == ["{[10,12)}"]


@settings(max_examples=5, deadline=None, database=None)
@given(seed=st.integers(0, 2**62))
def test_of_damaged_messages_it_takes_exactly_those_that_the_contract_takes(seed: int) -> None:
    random = Random(seed)
    values = [damaged(random, to_wire(replace(TRADE, trade_id=i, prev_trade_id=i - 1))) for i in range(100, 500)]
    verdicts = [verdict(value) for value in values]
    found = evaluate(values)
    assert {row["offset"] - 1000: row["reason"] for row in found["rejected"]} == {
        place: reason for place, reason in enumerate(verdicts) if isinstance(reason, str)
    }
    taken = [trade for trade in verdicts if isinstance(trade, Trade)]
    ids = {(trade.exchange, trade.symbol, trade.trade_id) for trade in taken}
    assert found["counts"][0]["duplicates"] == len(taken) - len(ids)


def test_of_a_huge_message_only_the_beginning_is_kept() -> None:
    (row,) = evaluate([b"[" * 100_000])["rejected"]
    assert (row["reason"], row["value"]) == (
        "longer than 16384 bytes",
        "\\x" + (b"[" * 16_384).hex(),
    )


def test_a_flood_of_large_messages_is_counted_to_its_end_but_not_kept() -> None:
    found = evaluate([b"x" * 16_384] * 3000)
    kept = (32 << 20) // (16_384 + len(b"key")) + 1
    assert (len(found["rejected"]), found["counts"][0]["rejected"]) == (kept, 3000)


@pytest.mark.parametrize(
    "bad", [b"\xff", to_wire(TRADE)[:-1], to_wire(TRADE)[:60] + b"\xff" + to_wire(TRADE)[60:], None]
)
def test_bad_messages_of_any_shape_leave_the_others_as_they_are(bad: bytes | None) -> None:
    trades = [replace(TRADE, trade_id=number, prev_trade_id=number - 1) for number in range(1, 5000)]
    trades[7] = replace(trades[7], symbol="币安-USDT")
    values: list[bytes | None] = [to_wire(trade) for trade in trades]
    values[1000:1000] = [bad] * 3
    alone, among = of(*trades), evaluate(values)
    assert [row["offset"] for row in among["rejected"]] == [2000, 2001, 2002]
    assert (among["bar"], among["ids"]) == (alone["bar"], alone["ids"])


def test_a_trade_already_seen_is_not_counted_again_but_its_attestation_is() -> None:
    kucoin = replace(TRADE, exchange="kucoin", trade_id=20, prev_trade_id=12)
    found = of(kucoin, coverage=kernel.Coverage.of([("kucoin", "BTC-USDT", 20, 20)], []))
    assert found["bar"] == []
    assert [(row["seen"], row.get("first_id")) for row in found["ids"]] == [("{[13,21)}", None)]
    assert found["counts"][0]["duplicates"] == 1


def test_attested_ranges_that_overlap_are_all_accounted_for() -> None:
    one = replace(TRADE, exchange="kucoin", trade_id=20, prev_trade_id=12)
    denying = replace(TRADE, exchange="kucoin", trade_id=30, prev_trade_id=5)
    found = of(one, denying)
    assert found["ids"][0]["seen"] in ("{[13,31),[6,31)}", "{[6,31),[13,31)}", "{[13,21),[6,31)}")
    assert found["counts"][0]["contradictions"] == 1


def test_the_same_id_with_another_price_is_a_contradiction_and_counted_once() -> None:
    found = of(TRADE, replace(TRADE, price=Decimal(7)))
    assert [row["trades"] for row in found["bar"]] == [1]
    assert (found["counts"][0]["duplicates"], found["counts"][0]["contradictions"]) == (1, 1)


@pytest.mark.parametrize("price", ["1.50", "99999999999999999999.50", "0.000000000000000010"])
def test_the_same_trade_in_two_spellings_is_no_contradiction(price: str) -> None:
    trade = replace(TRADE, price=Decimal(price))
    found = of(trade, replace(trade, price=trade.price.normalize()))
    assert (found["counts"][0]["duplicates"], found["counts"][0]["contradictions"]) == (1, 0)


def test_a_void_accounts_for_its_id_and_enters_no_bar() -> None:
    found = of(
        replace(TRADE, price=Decimal(0)),
        replace(TRADE, trade_id=11, prev_trade_id=10, quantity=Decimal("0.0")),
        replace(TRADE, trade_id=12, prev_trade_id=11, price=Decimal("0." + "0" * 18)),
    )
    assert found["bar"] == []
    assert [(row["seen"], row["first_id"], row["last_id"]) for row in found["ids"]] == [("{[10,13)}", 10, 12)]


def test_numbers_of_the_full_width_are_exact() -> None:
    widest = Decimal("9" * 20 + "." + "9" * 18)
    (bar,) = of(replace(TRADE, price=widest, quantity=widest))["bar"]
    assert (bar["open"], bar["volume"]) == (str(widest), str(widest))
    assert Decimal(bar["quote_volume"]) == reference._EXACT.multiply(widest, widest)


def test_symbols_of_other_scripts_are_carried() -> None:
    symbol = "币安人生-USDT"
    trade = replace(TRADE, symbol=symbol)
    assert [row["symbol"] for row in of(trade)["bar"]] == [symbol]
    known = kernel.Coverage.of([("binance", symbol, 1, 9)], [])
    assert [row["symbol"] for row in of(trade, coverage=known)["bar"]] == [symbol]


def test_an_id_far_above_the_top_is_refused_unless_wanted_was_opened_there() -> None:
    far = replace(TRADE, trade_id=5 * 10**9, prev_trade_id=None)
    reason = "trade_id more than 1000000000 above the symbol's top 9: 5000000000"
    assert [row["reason"] for row in of(far, coverage=SEEN)["rejected"]] == [reason]
    opened = replace_opened(SEEN, ("binance", "BTC-USDT", 5 * 10**9 - 7))
    assert [row["last_id"] for row in of(far, coverage=opened)["bar"]] == [5 * 10**9]
    elsewhere = replace_opened(SEEN, ("binance", "BTC-USDT", 5 * 10**9 + 1))
    assert [row["reason"] for row in of(far, coverage=elsewhere)["rejected"]] == [reason]


def test_a_symbols_first_id_is_not_judged() -> None:
    assert of(replace(TRADE, trade_id=5 * 10**9, prev_trade_id=None))["rejected"] == []


def test_ids_at_both_ends_of_the_type_are_carried() -> None:
    lowest, highest = (replace(TRADE, trade_id=i, prev_trade_id=None) for i in (0, 2**63 - 2))
    assert [row["seen"] for row in of(lowest)["ids"]] == ["{[0,1)}"]
    assert [row["seen"] for row in of(highest)["ids"]] == ["{[9223372036854775806,9223372036854775807)}"]


def test_the_slow_path_says_what_the_fast_one_does() -> None:
    assert list(judge([(7, to_wire(TRADE))], {("binance", "BTC-USDT"): Bounds(9)})) == [
        (7, Judged(7, "binance", "BTC-USDT", 10, 10, "100.5", "2", "201", False, True, T0_US, T0_US + 1000, True))
    ]


def test_an_engine_is_renewed_before_it_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, made = kernel.duckdb.connect, []
    monkeypatch.setattr(kernel, "_EVALUATIONS_AN_ENGINE", 2)
    monkeypatch.setattr(kernel.duckdb, "connect", lambda **given: made.append(given) or connect(**given))
    for _ in range(4):
        of(TRADE)
    assert len(made) in (2, 3)  # the first may have been in use before


def replace_opened(coverage: kernel.Coverage, *opened: tuple[str, str, int]) -> kernel.Coverage:
    return replace(coverage, opened=opened)


def damaged(random: Random, value: bytes) -> bytes:
    """The message with one to three bytes or pieces changed; often still a trade, and often another one."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(value))
        end = min(len(value), at + random.choice([0, 0, 1, 1, 2, 20]))
        pieces = [
            *(bytes([byte]) for byte in b'0123456789"\\,:{}[].-+eE aN\x00\xff'),
            b"null",
            b"true",
            b"\\u0030",
            b"1e3",
        ]
        value = value[:at] + random.choice([b"", value[at:end] * 2, *pieces]) + value[end:]
    return value


def verdict(value: bytes) -> Trade | str:
    try:
        return from_wire(value)
    except MalformedTrade as error:
        return str(error)
