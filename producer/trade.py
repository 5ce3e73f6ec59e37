"""The contract: one trade, and its wire form on the topic `raw_trades`.

Key: `binance:BTC-USDT` in UTF-8, so that a symbol's trades go to one partition. Value: the JSON object that
`to_wire` writes, fields in the order of `Trade`, no spaces. Readers accept any JSON spelling of it and ignore
unknown fields; a field that stands twice, a wrong type or a value out of bounds is `MalformedTrade`. So is what is
longer than MAX_MESSAGE_BYTES, or nested deeper than 64 levels.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeVar, cast

from producer.exchanges import EXCHANGES

MAX_TRADE_ID = 2**63 - 2  # an id range is half open and must fit in Postgres' bigint
MAX_ATTESTED = 1_000_000  # ids that one message may account for where ids are not consecutive
MAX_MESSAGE_BYTES = 16_384  # a trade takes some 250; what is longer is not even parsed
MAX_AHEAD_US = 10_000_000  # how far the exchange's clock may be ahead of ours
MIN_TRADED_AT_US = 1_262_304_000_000_000  # 2010-01-01; below it the unit is wrong
MAX_TRADED_AT_US = 4_102_444_800_000_000  # 2100-01-01; from it on the unit is wrong

_MAX_DEPTH = 64  # levels of JSON in each other; without a bound it would be that of the reader's stack

_T = TypeVar("_T", str, int)

# Up to 20 integer and 18 fraction digits, plain notation.
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,18})?")
# A JSON string; what opens or closes an array or object.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
# Letters and digits of any script, upper case where the script has cases, one hyphen.
_SYMBOL = re.compile(r"[^\W_]{1,20}-[^\W_]{1,20}")


class MalformedTrade(ValueError):
    """Why something is not a trade; the message names the field and the offending value."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One match on an exchange. Identity: (exchange, symbol, trade_id).

    exchange: a name in `producer.exchanges.EXCHANGES`.
    symbol: canonical, `BTC-USDT` (base-quote).
    trade_id: grows with each trade of the symbol, by one where the exchange's ids are consecutive.
    prev_trade_id: the id of the trade before this one where the sender can attest that none lies between, else
        None. The message accounts for the ids (prev_trade_id, trade_id], without it for trade_id alone.
    price: in quote currency. quantity: in base currency. Either is 0 where the exchange voids a trade: its id
        counts, and it enters no bar.
    taker_side: what the taker did.
    traded_at_us: the exchange's time, received_at_us: ours; microseconds since 1970 UTC. Ours may be the earlier.
    source: `ws` as it happened, `rest` repaired or historical.
    """

    exchange: str
    symbol: str
    trade_id: int
    prev_trade_id: int | None
    price: Decimal
    quantity: Decimal
    taker_side: Literal["buy", "sell"]
    traded_at_us: int
    received_at_us: int
    source: Literal["ws", "rest"]


def message_key(exchange: str, symbol: str) -> bytes:
    """The record key of a symbol's trades."""
    return f"{exchange}:{symbol}".encode()


def to_wire(trade: Trade) -> bytes:
    """The canonical value of a record. The inverse of `from_wire`.

    Validity is the reader's to judge, except for numbers: raises MalformedTrade where a price or a
    quantity does not fit the contract, since nothing may ever be rounded.
    """
    prev = "null" if trade.prev_trade_id is None else trade.prev_trade_id
    return (
        f'{{"exchange":"{trade.exchange}","symbol":"{trade.symbol}","trade_id":{trade.trade_id},'
        f'"prev_trade_id":{prev},"price":"{_plain(trade, "price")}","quantity":"{_plain(trade, "quantity")}",'
        f'"taker_side":"{trade.taker_side}","traded_at_us":{trade.traded_at_us},'
        f'"received_at_us":{trade.received_at_us},"source":"{trade.source}"}}'
    ).encode()


def from_wire(value: bytes | None) -> Trade:
    """The trade that a record's value holds, judged strictly. Raises MalformedTrade with the reason."""
    if value is None:
        raise MalformedTrade("no value")
    if len(value) > MAX_MESSAGE_BYTES:
        raise MalformedTrade(f"longer than {MAX_MESSAGE_BYTES} bytes")
    try:
        text = value.decode()
        _refuse_deep(text)
        fields = _json.decode(text)
    except UnicodeDecodeError as error:
        raise MalformedTrade("not JSON: not UTF-8") from error
    except json.JSONDecodeError as error:
        raise MalformedTrade("not JSON") from error
    except MalformedTrade:
        raise
    except ValueError as error:  # a number of more digits than Python converts
        raise MalformedTrade("not JSON: a number of too many digits") from error
    if type(fields) is not dict:
        raise MalformedTrade("not a JSON object")
    exchange = _field(fields, "exchange", str)
    symbol = _field(fields, "symbol", str)
    trade_id = _field(fields, "trade_id", int)
    prev_trade_id = None if fields.get("prev_trade_id", 0) is None else _field(fields, "prev_trade_id", int)
    price = _number(fields, "price")
    quantity = _number(fields, "quantity")
    taker_side = _field(fields, "taker_side", str)
    traded_at_us = _field(fields, "traded_at_us", int)
    received_at_us = _field(fields, "received_at_us", int)
    source = _field(fields, "source", str)

    if exchange not in EXCHANGES:
        raise MalformedTrade(f"unknown exchange {exchange[:40]!a}")
    if not is_symbol(symbol):
        raise MalformedTrade(f"symbol malformed: {symbol[:60]!a}")
    if not 0 <= trade_id <= MAX_TRADE_ID:
        raise MalformedTrade(f"trade_id out of range: {_short(trade_id)}")
    if prev_trade_id is not None:
        if not 0 <= prev_trade_id < trade_id:
            raise MalformedTrade(f"prev_trade_id out of range: {_short(prev_trade_id)}")
        if trade_id - prev_trade_id > (1 if EXCHANGES[exchange].consecutive_ids else MAX_ATTESTED):
            raise MalformedTrade(f"prev_trade_id too far below trade_id: {prev_trade_id}")
    if taker_side not in ("buy", "sell"):
        raise MalformedTrade(f"taker_side malformed: {taker_side[:20]!a}")
    if source not in ("ws", "rest"):
        raise MalformedTrade(f"source malformed: {source[:20]!a}")
    if not MIN_TRADED_AT_US <= traded_at_us < MAX_TRADED_AT_US:
        raise MalformedTrade(f"traded_at_us out of range (wrong unit?): {_short(traded_at_us)}")
    if not 0 <= received_at_us < 2**63:
        raise MalformedTrade(f"received_at_us out of range: {_short(received_at_us)}")
    if traded_at_us > received_at_us + MAX_AHEAD_US:
        raise MalformedTrade("traded_at_us is more than 10 s after received_at_us")
    return Trade(
        exchange,
        symbol,
        trade_id,
        prev_trade_id,
        price,
        quantity,
        cast(Literal["buy", "sell"], taker_side),
        traded_at_us,
        received_at_us,
        cast(Literal["ws", "rest"], source),
    )


def is_symbol(text: str) -> bool:
    """Whether a symbol is canonical: letters and digits of any script, upper case, one hyphen."""
    return bool(_SYMBOL.fullmatch(text)) and text == text.upper()


def _plain(trade: Trade, name: Literal["price", "quantity"]) -> str:
    number: Decimal = getattr(trade, name)
    text = str(number)
    if _NUMBER.fullmatch(text):
        return text
    # an exponent, which may stand for a gigabyte of zeros: a large one is not spelled out
    if abs(number.adjusted()) < 100 and _NUMBER.fullmatch(plain := format(number, "f")):
        return plain
    raise MalformedTrade(f"{trade.exchange} {trade.symbol} {trade.trade_id}: {name} malformed: {text[:60]!a}")


def _refuse_deep(text: str) -> None:
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _MAX_DEPTH:
            raise MalformedTrade(f"not JSON: nested deeper than {_MAX_DEPTH} levels")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise MalformedTrade("a field stands twice")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedTrade(f"not JSON: {name}")


# made once: that takes as long as reading a message with it
_json = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _field(fields: dict[str, Any], name: str, kind: type[_T]) -> _T:
    if name not in fields:
        raise MalformedTrade(f"{name} missing")
    value = fields[name]
    if type(value) is not kind:  # strict: neither "1" nor true is 1
        raise MalformedTrade(f"{name} of the wrong type")
    return value


def _number(fields: dict[str, Any], name: str) -> Decimal:
    text = _field(fields, name, str)
    if not _NUMBER.fullmatch(text):
        raise MalformedTrade(f"{name} malformed: {text[:60]!a}")
    return Decimal(text)


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**30 else f"a number of {number.bit_length()} bits"
