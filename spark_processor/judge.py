"""The slow path: messages that the fast one left, judged one by one by the contract's own reader.

What is left: whatever is wrong, other spellings, numbers beyond DECIMAL(18, 8), symbols of other scripts at first,
and ids far above a symbol's top. It takes about five times the fast path's time.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from producer.trade import MalformedTrade, Trade, from_wire

# How far above its symbol's committed top an id may be. A bogus one would make an astronomical hole.
MAX_JUMP = 10**9

_NARROW = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,8})?")
_NARROW_QUOTE = 10**14
_EXACT = Context(prec=80)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a symbol's ids may lie.

    top: the highest id seen, None before the first: a symbol's first id is not judged.
    opened: where ranges of `wanted` begin that were opened above the top by an explicit call.
    """

    top: int | None
    opened: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """A trade that the fast path left. The fields are the columns of the kernel's table `slow` (slow.sql).

    i: the message's place in its task.
    lo: the lowest id that it accounts for.
    price, quantity, quote: exact, plain notation; equal numbers are equal texts.
    wide: too large or too fine for the kernel's own arithmetic.
    """

    i: int
    exchange: str
    symbol: str
    id: int
    lo: int
    price: str
    quantity: str
    quote: str
    wide: bool
    buy: bool
    traded_at_us: int
    received_at_us: int
    ws: bool


def judge(
    messages: Iterable[tuple[int, bytes | None]], bounds: Mapping[tuple[str, str], Bounds]
) -> Iterator[tuple[int, Judged | str]]:
    """Each message, numbered, as a trade or as the reason why it is none."""
    unknown = Bounds(None)
    for i, value in messages:
        try:
            trade = from_wire(value)
            _refuse_jump(trade, bounds.get((trade.exchange, trade.symbol), unknown))
        except MalformedTrade as error:
            yield i, str(error)
        else:
            yield i, _judged(i, trade)


def _refuse_jump(trade: Trade, bounds: Bounds) -> None:
    if bounds.top is None:
        return
    allowed_from = [bounds.top, *(begin for begin in bounds.opened if begin <= trade.trade_id)]
    if trade.trade_id - max(allowed_from) > MAX_JUMP:
        raise MalformedTrade(
            f"trade_id more than {MAX_JUMP} above the symbol's top {bounds.top}: {trade.trade_id}"
        )


def _judged(i: int, trade: Trade) -> Judged:
    price, quantity = _plain(trade.price), _plain(trade.quantity)
    quote = _EXACT.multiply(trade.price, trade.quantity)
    narrow = _NARROW.fullmatch(price) and _NARROW.fullmatch(quantity) and quote < _NARROW_QUOTE
    return Judged(
        i,
        trade.exchange,
        trade.symbol,
        trade.trade_id,
        trade.trade_id if trade.prev_trade_id is None else trade.prev_trade_id + 1,
        price,
        quantity,
        _plain(quote),
        not narrow,
        trade.taker_side == "buy",
        trade.traded_at_us,
        trade.received_at_us,
        trade.source == "ws",
    )


def _plain(number: Decimal) -> str:
    return format(_EXACT.normalize(number), "f") if number else "0"
