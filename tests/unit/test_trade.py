"""The contract: what a message may say, and that it survives the way there and back."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.exchanges import EXCHANGES
from producer.trade import MAX_AHEAD_US, MalformedTrade, Trade, from_wire, is_symbol, message_key, to_wire

TRADE = Trade(
    "binance", "BTC-USDT", 123, 122, Decimal("67000.01"), Decimal("0.00100000"), "buy",
    1732147200000000, 1732147200001000, "ws",
)  # fmt: skip
WIRE = (
    b'{"exchange":"binance","symbol":"BTC-USDT","trade_id":123,"prev_trade_id":122,"price":"67000.01",'
    b'"quantity":"0.00100000","taker_side":"buy","traded_at_us":1732147200000000,'
    b'"received_at_us":1732147200001000,"source":"ws"}'
)


def numbers() -> st.SearchStrategy[Decimal]:
    digits = st.text("0123456789", min_size=1, max_size=20)
    fraction = st.text("0123456789", max_size=18)
    return st.builds(lambda i, f: Decimal(f"{i}.{f}" if f else i), digits, fraction)


@st.composite
def trades(draw: st.DrawFn) -> Trade:
    exchange = draw(st.sampled_from(sorted(EXCHANGES)))
    trade_id = draw(st.integers(0, 2**63 - 2))
    step = 1 if EXCHANGES[exchange].consecutive_ids else draw(st.integers(1, 10**6))
    attests = trade_id >= step and draw(st.booleans())
    traded_at_us = draw(st.integers(1_262_304_000_000_000, 4_102_444_799_999_999))
    return Trade(
        exchange,
        draw(st.sampled_from(["BTC-USDT", "1000SATS-USDC", "币安-USDT", "ЁЖ-1"])),
        trade_id,
        trade_id - step if attests else None,
        draw(numbers()),
        draw(numbers()),
        draw(st.sampled_from(["buy", "sell"])),
        traded_at_us,
        traded_at_us + draw(st.integers(-MAX_AHEAD_US, 10**12)),
        draw(st.sampled_from(["ws", "rest"])),
    )


def test_a_trade_is_written_as_the_contract_says() -> None:
    assert to_wire(TRADE) == WIRE
    assert message_key("binance", "BTC-USDT") == b"binance:BTC-USDT"


@given(trades())
def test_a_trade_survives_the_way_there_and_back(trade: Trade) -> None:
    again = from_wire(to_wire(trade))
    assert again == trade
    # equal decimals may differ in their digits: the digits are kept too
    assert to_wire(again) == to_wire(trade)


def test_an_exponent_is_written_in_plain_notation() -> None:
    assert b'"price":"1000"' in to_wire(replace(TRADE, price=Decimal("1E+3")))
    assert b'"price":"0.000000010"' in to_wire(replace(TRADE, price=Decimal("1.0E-8")))
    assert b'"price":"0"' in to_wire(replace(TRADE, price=Decimal("0E+54")))


@pytest.mark.parametrize(
    "price", ["NaN", "Infinity", "-1", "1E+20", "1E-19", "1E+999999999", "1E-999999999", "0E+999999999"]
)
def test_a_number_the_contract_cannot_hold_is_refused_when_written(price: str) -> None:
    with pytest.raises(MalformedTrade, match=r"binance BTC-USDT 123: price malformed"):
        to_wire(replace(TRADE, price=Decimal(price)))


def test_other_spellings_and_unknown_fields_are_accepted() -> None:
    fields = json.loads(WIRE)
    spelled = json.dumps(dict(reversed(fields.items())) | {"maker": [1, {"x": None}]}, indent=1)
    assert from_wire(spelled.encode()) == TRADE


def test_brackets_in_texts_and_beside_each_other_are_not_deep() -> None:
    fields = json.loads(WIRE) | {"text": "[" * 100 + '\\"' + "{" * 100, "wide": [[]] * 100, "deep": nested(63)}
    assert from_wire(json.dumps(fields).encode()) == TRADE
    with pytest.raises(MalformedTrade, match="not JSON: nested deeper than 64 levels"):
        from_wire(json.dumps(fields | {"deep": nested(64)}).encode())


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(WIRE) | fields).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON: not UTF-8"),
        (b"[" * 100_000, "longer than 16384 bytes"),
        (b"[" * 16_384, "not JSON: nested deeper than 64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "not JSON: nested deeper than 64 levels"),
        (WIRE[:-1], "not JSON"),
        (WIRE + b"x", "not JSON"),
        (WIRE.replace(b":123,", b":0123,"), "not JSON"),
        (WIRE.replace(b":123,", b":NaN,"), "not JSON: NaN"),
        (WIRE.replace(b":123,", b":1" + b"0" * 5000 + b","), "not JSON: a number of too many digits"),
        (b"null", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (WIRE.replace(b',"source":"ws"', b""), "source missing"),
        (WIRE.replace(b'"prev_trade_id":122,', b""), "prev_trade_id missing"),
        (WIRE.replace(b'"source":"ws"', b'"source":"ws","source":"ws"'), "a field stands twice"),
        (changed(trade_id="123"), "trade_id of the wrong type"),
        (changed(trade_id=123.0), "trade_id of the wrong type"),
        (changed(trade_id=None), "trade_id of the wrong type"),
        (changed(prev_trade_id=True), "prev_trade_id of the wrong type"),
        (changed(price=1.5), "price of the wrong type"),
        (changed(taker_side=None), "taker_side of the wrong type"),
        (changed(exchange="okx"), "unknown exchange 'okx'"),
        (changed(symbol="btc-usdt"), "symbol malformed: 'btc-usdt'"),
        (changed(symbol="BTC\0-USDT"), r"symbol malformed: 'BTC\\x00-USDT'"),
        (changed(symbol="BTCUSDT"), "symbol malformed: 'BTCUSDT'"),
        (changed(symbol="A-B-C"), "symbol malformed: 'A-B-C'"),
        (changed(trade_id=-1, prev_trade_id=None), "trade_id out of range: -1"),
        (changed(trade_id=2**63 - 1, prev_trade_id=None), "trade_id out of range: 9223372036854775807"),
        (changed(trade_id=10**40, prev_trade_id=None), "trade_id out of range: a number of 133 bits"),
        (changed(prev_trade_id=123), "prev_trade_id out of range: 123"),
        (changed(trade_id=0, prev_trade_id=-1), "prev_trade_id out of range: -1"),
        (changed(prev_trade_id=121), "prev_trade_id too far below trade_id: 121"),
        (changed(exchange="kucoin", trade_id=2_000_000, prev_trade_id=999_999), "too far below trade_id"),
        (changed(price="1e5"), "price malformed: '1e5'"),
        (changed(price="-1"), "price malformed: '-1'"),
        (changed(price="1."), "price malformed"),
        (changed(price="٣"), r"price malformed: '\\u0663'"),
        (changed(price="1" * 21), "price malformed"),
        (changed(quantity="0." + "1" * 19), "quantity malformed"),
        (changed(taker_side="BUY"), "taker_side malformed: 'BUY'"),
        (changed(source="x"), "source malformed: 'x'"),
        (changed(traded_at_us=1732147200000), "wrong unit"),
        (changed(traded_at_us=1732147200000000000), "wrong unit"),
        (changed(received_at_us=2**63), "received_at_us out of range"),
        (changed(received_at_us=1732147189999999), "more than 10 s after"),
    ],
)
def test_what_is_not_a_trade_is_refused_with_the_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(MalformedTrade, match=reason):
        from_wire(value)


@pytest.mark.parametrize("symbol", ["BTC-USDT", "币安人生-USDT", "1INCH-BTC"])
def test_symbols_of_any_script_are_canonical(symbol: str) -> None:
    assert is_symbol(symbol)


@pytest.mark.parametrize("symbol", ["BTC_USDT", "ß-USDT", "", "-", "BTC-", "A" * 21 + "-B"])
def test_other_symbols_are_not(symbol: str) -> None:
    assert not is_symbol(symbol)
