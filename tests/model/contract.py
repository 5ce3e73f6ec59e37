"""A second reading of the message contract, written from its words and not from the code that it judges."""

import json
import unicodedata
from decimal import Decimal
from typing import Any

from producer.trade import Trade

CONSECUTIVE = {"binance": True, "kucoin": False}
FIELDS: dict[str, tuple[type, ...]] = {
    "exchange": (str,),
    "symbol": (str,),
    "trade_id": (int,),
    "prev_trade_id": (int, type(None)),
    "price": (str,),
    "quantity": (str,),
    "taker_side": (str,),
    "traded_at_us": (int,),
    "received_at_us": (int,),
    "source": (str,),
}
DEEPEST = 64  # levels of objects and arrays
LONGEST = 16_384  # bytes
FARTHEST_JUMP = 10**9
_DIGITS = set("0123456789")
_YEAR_2010_US = 1_262_304_000_000_000
_YEAR_2100_US = 4_102_444_800_000_000
_TEN_SECONDS_US = 10_000_000


class _NotJson(Exception):
    pass


def read(value: bytes | None) -> Trade | None:
    """The trade that a message is; None if it is none."""
    fields = None if value is None or len(value) > LONGEST else _object(value)
    if fields is None or any(type(fields.get(name, ...)) not in kinds for name, kinds in FIELDS.items()):
        return None
    trade = Trade(
        *(fields["exchange"], fields["symbol"], fields["trade_id"], fields["prev_trade_id"]),
        *(Decimal(fields[name]) if is_number(fields[name]) else Decimal("NaN") for name in ("price", "quantity")),
        *(fields["taker_side"], fields["traded_at_us"], fields["received_at_us"], fields["source"]),
    )
    return trade if is_valid(trade) else None


def is_valid(trade: Trade) -> bool:
    """Whether the values of a trade's fields are within the contract."""
    return (
        trade.exchange in CONSECUTIVE
        and _is_symbol(trade.symbol)
        and 0 <= trade.trade_id < 2**63 - 1
        and _attests_what_it_may(trade)
        and _fits(trade.price)
        and _fits(trade.quantity)
        and trade.taker_side in ("buy", "sell")
        and trade.source in ("ws", "rest")
        and _YEAR_2010_US <= trade.traded_at_us < _YEAR_2100_US
        and 0 <= trade.received_at_us < 2**63
        and trade.traded_at_us - trade.received_at_us <= _TEN_SECONDS_US
    )


def is_number(text: str) -> bool:
    """Plain notation, up to 20 integer and 18 fraction digits."""
    whole, point, fraction = text.partition(".")
    return (
        set(whole + fraction) <= _DIGITS
        and 1 <= len(whole) <= 20
        and len(fraction) <= 18
        and bool(fraction) == bool(point)
    )


def _object(value: bytes) -> dict[str, Any] | None:
    """The JSON object, if it is one in which no field of any object stands twice."""
    try:
        text = value.decode("utf-8")
        if _is_deep(text):
            return None
        # ValueError: no UTF-8, no JSON, or a number of more digits than Python converts
        found = _json.decode(text)
    except (ValueError, _NotJson):
        return None
    return found if isinstance(found, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _NotJson
    return dict(pairs)


def _no_constant(_: str) -> None:
    raise _NotJson


_json = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _is_deep(text: str) -> bool:
    """Whether objects and arrays lie too deep in each other."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            quoted = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            if depth > DEEPEST:
                return True
        elif character in "]}":
            depth -= 1
    return False


def _fits(number: Decimal) -> bool:
    # what has hundreds of zeros is not spelled out
    return number.is_finite() and abs(number.adjusted()) < 100 and is_number(format(number, "f"))


def _is_symbol(text: str) -> bool:
    parts = text.split("-")
    return (
        len(parts) == 2
        and all(1 <= len(part) <= 20 and all(map(_is_letter_or_digit, part)) for part in parts)
        and text.upper() == text
    )


def _is_letter_or_digit(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"


def _attests_what_it_may(trade: Trade) -> bool:
    if trade.prev_trade_id is None:
        return True
    step = trade.trade_id - trade.prev_trade_id
    return trade.prev_trade_id >= 0 and 1 <= step <= (1 if CONSECUTIVE[trade.exchange] else 1_000_000)
