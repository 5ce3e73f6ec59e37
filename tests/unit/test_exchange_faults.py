"""Faults end by themselves, and do to trades what they say; limits are counted as the exchanges count them."""

import json

import pytest
from pydantic import ValidationError

from local.exchange.connection import text_frame
from local.exchange.faults import (
    FAULT,
    Disorder,
    Duplicates,
    Faults,
    FutureDates,
    Loss,
    Malformed,
    Stall,
    TokenExpired,
)
from local.exchange.kucoin_tokens import Tokens
from local.exchange.limits import SlidingWindow, Spent, WeightWindow
from local.exchange.market import Trade
from local.exchange.shaping import Outgoing, Shaper, broken_frame

TRADES = [Trade(n, 1_732_147_200_000_000 + n, 100 + n, 5, True) for n in range(6)]


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def shaped(*faults: Loss | Duplicates | Disorder | FutureDates | Malformed) -> tuple[list[Outgoing], list[Trade]]:
    ordered = Faults()
    for fault in faults:
        ordered.add(fault)
    return Shaper(ordered).shape("binance", "BTC-USDT", TRADES)


def test_lost_trades_are_not_sent() -> None:
    sent, lost = shaped(Loss(count=2))
    assert (sent, lost) == ([Outgoing(t) for t in TRADES[2:]], TRADES[:2])


def test_a_fault_of_another_symbol_or_exchange_does_nothing() -> None:
    sent, lost = shaped(Loss(count=2, symbols=["ETH-USDT"]), Loss(count=2, exchange="kucoin"))
    assert (sent, lost) == ([Outgoing(t) for t in TRADES], [])


def test_duplicates_follow_their_trade() -> None:
    sent, _ = shaped(Duplicates(count=1))
    assert sent == [Outgoing(TRADES[0]), Outgoing(TRADES[0], "duplicates"), *map(Outgoing, TRADES[1:])]


def test_disordered_trades_come_in_reverse_and_none_is_kept_back_for_good() -> None:
    sent, _ = shaped(Disorder(count=5, group=3))
    # the second group never fills: it goes out when the fault has ended
    assert [out.trade.trade_id for out in sent] == [4, 3, 2, 1, 0, 5]
    assert [out.fault for out in sent] == ["disorder"] * 5 + [None]


def test_future_dates_change_nothing_but_the_time() -> None:
    sent, _ = shaped(FutureDates(count=1, ahead_s=60))
    later = TRADES[0]._replace(traded_at_us=TRADES[0].traded_at_us + 60_000_000)
    assert sent == [Outgoing(later, "future_dates"), *map(Outgoing, TRADES[1:])]


def test_frames_are_broken_as_asked() -> None:
    text = '{"stream":"btcusdt@trade","data":{"e":"trade","p":"1.5","q":"2"}}'
    assert broken_frame(text, "truncated") == text_frame(text[: len(text) // 2])
    assert broken_frame(text, "binary")[0] == 0x82
    missing = json.loads(broken_frame(text, "missing_field")[2:])
    assert missing == {"stream": "btcusdt@trade", "data": {"e": "trade", "q": "2"}}
    wrong = json.loads(broken_frame('{"data":{"price":"1.5"}}', "wrong_type")[2:])
    assert wrong == {"data": {"price": {"not": "a price"}}}


@pytest.mark.parametrize(
    ("size", "head"),
    [(125, b"\x81\x7d"), (126, b"\x81\x7e\x00\x7e"), (65536, b"\x81\x7f" + (65536).to_bytes(8, "big"))],
)
def test_frames_carry_their_length_as_the_protocol_says(size: int, head: bytes) -> None:
    assert text_frame("x" * size) == head + b"x" * size


def test_faults_end_by_count_by_time_or_when_told() -> None:
    clock = Clock()
    faults = Faults(clock)
    faults.add(Loss(count=2))
    faults.add(Stall(duration_s=10))
    third = faults.add(Loss(count=9, symbols=["ETH-USDT"]))
    assert [f["left"] for f in faults.listing()] == [2, None, 9]
    assert faults.use(Loss, exchange="binance", symbol="BTC-USDT")
    assert faults.use(Loss, exchange="binance", symbol="BTC-USDT")
    assert faults.use(Loss, exchange="binance", symbol="BTC-USDT") is None
    clock.s += 11
    assert [f["kind"] for f in faults.listing()] == ["loss"]
    assert faults.remove(third.number) == [third]
    assert faults.listing() == []


def test_a_stall_can_be_for_one_connection() -> None:
    faults = Faults(Clock())
    faults.add(Stall(duration_s=10, connection=3))
    assert faults.find(Stall, exchange="binance", connection=3)
    assert not faults.find(Stall, exchange="binance", connection=4)


@pytest.mark.parametrize(
    "wrong",
    [
        '{"kind":"loss"}',
        '{"kind":"stall"}',
        '{"kind":"halt","duration_s":1}',
        '{"kind":"x"}',
        '{"kind":"loss","count":0}',
    ],
)
def test_a_fault_without_an_end_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        FAULT.validate_json(wrong)


def test_a_sliding_window_allows_so_many_within_any_stretch() -> None:
    clock = Clock()
    window = SlidingWindow(2, 1.0, clock)
    assert [window.allows() for _ in range(3)] == [True, True, False]
    clock.s += 1.0
    assert window.allows()


def test_weight_is_refused_then_banned_and_the_ban_ends() -> None:
    clock = Clock()
    clock.s = 1200.0  # a window begins
    weights = WeightWindow(10, 60, ban_s=120, warnings=1, now_s=clock)
    assert weights.spend("a", 10) == Spent(10, 10, 60.0, "granted", 60)
    clock.s += 20
    assert weights.spend("a", 1) == Spent(11, 10, 40.0, "refused", 40)
    assert weights.spend("a", 1) == Spent(12, 10, 40.0, "banned", 120)
    assert weights.spend("b", 1).outcome == "granted"
    clock.s += 100
    assert weights.spend("a", 1) == Spent(1, 10, 60.0, "banned", 20)
    clock.s += 20
    assert weights.spend("a", 1).outcome == "granted"


def test_tokens_expire_by_age_and_by_fault() -> None:
    clock = Clock()
    faults = Faults(clock)
    tokens = Tokens(60.0, faults, clock)
    token = tokens.give()
    assert (tokens.valid(token), tokens.valid("other")) == (True, False)
    faults.add(TokenExpired(count=1))
    assert [tokens.valid(tokens.give()) for _ in range(2)] == [False, True]
    clock.s += 60
    assert not tokens.valid(token)
