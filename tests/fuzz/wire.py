"""What must hold of the wire form, whatever the bytes."""

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from model import contract

from producer.trade import MalformedTrade, Trade, from_wire, to_wire


def check(data: bytes) -> None:
    """The bytes as a message, and, where they spell a trade's fields, as what a writer was given."""
    found = _attempt(from_wire, data)
    if isinstance(found, Trade):
        assert found == contract.read(data)
        _survives(found)
    else:
        assert contract.read(data) is None, found
        assert found.isascii()
    written = _any_trade(data)
    if written is not None:
        check_written(written)


def check_written(trade: Trade) -> None:
    """A trade of any values is refused by the writer or by the reader, or survives the way there and back."""
    value = _attempt(to_wire, trade)
    again = _attempt(from_wire, value) if isinstance(value, bytes) else value
    assert again == trade if contract.is_valid(trade) else isinstance(again, str)


def _attempt(act: Callable[[Any], Any], given: Any) -> Any:
    """What comes of it, or why it is refused, in words that people can read."""
    try:
        return act(given)
    except MalformedTrade as refusal:
        reason = str(refusal)
    assert reason.isprintable()
    assert 5 < len(reason) < 500
    return reason


def _survives(trade: Trade) -> None:
    value = to_wire(trade)
    again = from_wire(value)
    assert again == trade
    # equal decimals may differ in their digits: the digits are kept too
    assert to_wire(again) == value


def _any_trade(data: bytes) -> Trade | None:
    try:
        fields: dict[str, Any] = json.loads(data)
        numbers = {name: Decimal(fields[name]) for name in ("price", "quantity") if type(fields[name]) is str}
    except (ValueError, RecursionError, TypeError, KeyError, InvalidOperation):
        return None
    fields = {name: fields.get(name) for name in contract.FIELDS} | numbers
    # the writer is given what adapters make: fields of the right types, and names that a settings file has
    names = [fields[name] for name, kinds in contract.FIELDS.items() if kinds == (str,) and name not in numbers]
    if not all(type(name) is str and len(name) < 60 and name.isprintable() for name in names):
        return None
    if {'"', "\\"} & set("".join(names)):
        return None
    if not all(type(fields[name]) in kinds for name, kinds in contract.FIELDS.items() if int in kinds):
        return None
    return Trade(**fields) if len(numbers) == 2 else None
