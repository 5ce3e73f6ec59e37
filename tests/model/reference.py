"""What bars, coverage and proofs must be, by brute force: every id by itself, every number exact."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from itertools import pairwise
from typing import Any

from model.market import MINUTE_US

from producer.trade import Trade

_EXACT = Context(prec=90)


@dataclass(frozen=True)
class Bar:
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
    first_trade_id: int
    last_trade_id: int


def minute_of(trade: Trade) -> int:
    return trade.traded_at_us // MINUTE_US


def bars(messages: Iterable[Trade]) -> dict[int, Bar]:
    """The bars of one symbol by minute (since 1970), each trade counted once, voided ones not at all."""
    by_id = {message.trade_id: message for message in messages}
    by_minute: dict[int, list[Trade]] = {}
    for _, trade in sorted(by_id.items()):
        if trade.price and trade.quantity:
            by_minute.setdefault(minute_of(trade), []).append(trade)
    return {minute: _bar(trades) for minute, trades in by_minute.items()}


def seen(messages: Iterable[Trade]) -> set[int]:
    """The ids that the messages of one symbol account for."""
    ids: set[int] = set()
    for message in messages:
        lowest = message.trade_id if message.prev_trade_id is None else message.prev_trade_id + 1
        ids.update(range(lowest, message.trade_id + 1))
    return ids


def proven(known: Mapping[int, Bar], ids: set[int], confirmed_through_us: int | None) -> set[int]:
    """The minutes of which it is certain that they lack nothing: every id from the bar before to the one after."""
    minutes = sorted(known)
    certain = set()
    for before, minute, after in zip(minutes, minutes[1:], [*minutes[2:], None], strict=False):
        if after is not None:
            highest = known[after].first_trade_id
        elif confirmed_through_us is not None and (minute + 1) * MINUTE_US <= confirmed_through_us:
            highest = max(ids)
        else:
            continue
        if all(trade_id in ids for trade_id in range(known[before].last_trade_id, highest + 1)):
            certain.add(minute)
    return certain


def missing(known: Mapping[int, Bar], ids: set[int], wanted_from: int | None, begin: int, end: int) -> set[int]:
    """The wanted ids that the minutes [begin, end) lack."""
    if wanted_from is None or not ids:
        return set()
    lowest = max([wanted_from, *(known[minute].last_trade_id + 1 for minute in known if minute < begin)])
    later = [known[minute].first_trade_id for minute in known if minute >= end]
    return {trade_id for trade_id in range(lowest, min(later, default=max(ids) + 1)) if trade_id not in ids}


def empty_minutes(known: Mapping[int, Bar], ids: set[int], confirmed_through_us: int | None) -> set[int]:
    """The minutes without a trade of which it is certain that they have none, up to the last confirmed one."""
    minutes = sorted(known)
    certain = set()
    for before, after in pairwise(minutes):
        between = range(known[before].last_trade_id, known[after].first_trade_id + 1)
        if all(trade_id in ids for trade_id in between):
            certain.update(range(before + 1, after))
    if minutes and confirmed_through_us is not None:
        last = minutes[-1]
        if all(trade_id in ids for trade_id in range(known[last].last_trade_id, max(ids) + 1)):
            certain.update(range(last + 1, confirmed_through_us // MINUTE_US))
    return certain


def multirange(ids: Iterable[int]) -> str:
    """The ids as PostgreSQL writes an int8multirange."""
    ranges: list[list[int]] = []
    for trade_id in sorted(ids):
        if ranges and ranges[-1][1] == trade_id:
            ranges[-1][1] += 1
        else:
            ranges.append([trade_id, trade_id + 1])
    return "{" + ",".join(f"[{lowest},{end})" for lowest, end in ranges) + "}"


def merged(rows: Iterable[Mapping[str, Any]]) -> dict[int, Bar]:
    """The bars of one symbol that the kernel's rows make, of which wide trades come as rows of their own."""
    by_minute: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_minute.setdefault(row["minute"], []).append(row)
    bars = {}
    for minute, parts in by_minute.items():
        parts.sort(key=lambda part: part["first_id"])

        def total(name: str, parts: list[Mapping[str, Any]] = parts) -> Decimal:
            sum_ = Decimal(0)
            for part in parts:
                sum_ = _EXACT.add(sum_, Decimal(part[name]))
            return sum_

        bars[minute] = Bar(
            open=Decimal(parts[0]["open"]),
            high=max(Decimal(part["high"]) for part in parts),
            low=min(Decimal(part["low"]) for part in parts),
            close=Decimal(max(parts, key=lambda part: part["last_id"])["close"]),
            volume=total("volume"),
            quote_volume=total("quote_volume"),
            trade_count=sum(part["trades"] for part in parts),
            taker_buy_volume=total("taker_buy_volume"),
            taker_buy_quote_volume=total("taker_buy_quote_volume"),
            first_trade_id=min(part["first_id"] for part in parts),
            last_trade_id=max(part["last_id"] for part in parts),
        )
    return bars


def _bar(trades: list[Trade]) -> Bar:
    first = trades[0]
    bar = Bar(
        *(first.price, first.price, first.price, first.price, Decimal(0), Decimal(0), 0, Decimal(0), Decimal(0)),
        *(first.trade_id, first.trade_id),
    )
    for trade in trades:
        quote = _EXACT.multiply(trade.price, trade.quantity)
        bought = trade.taker_side == "buy"
        bar = replace(
            bar,
            high=max(bar.high, trade.price),
            low=min(bar.low, trade.price),
            close=trade.price,
            volume=_EXACT.add(bar.volume, trade.quantity),
            quote_volume=_EXACT.add(bar.quote_volume, quote),
            trade_count=bar.trade_count + 1,
            taker_buy_volume=_EXACT.add(bar.taker_buy_volume, trade.quantity if bought else Decimal(0)),
            taker_buy_quote_volume=_EXACT.add(bar.taker_buy_quote_volume, quote if bought else Decimal(0)),
            last_trade_id=trade.trade_id,
        )
    return bar
