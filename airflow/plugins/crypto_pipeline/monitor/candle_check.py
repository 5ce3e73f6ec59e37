"""Closed minutes of exchanges whose ids prove nothing, against the exchange's candles.

Such a server drops trades inside a connection without a trace in the ids. Only its candle tells; where bar and
candle differ, the candle is kept, the view `bars_1min` shows it, and the ledger says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from crypto_pipeline.candles import store_candles
from crypto_pipeline.period import MINUTE, to_us
from crypto_pipeline.statements import rows
from producer.exchanges.adapter import Candle

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_FIELDS = ("open", "high", "low", "close", "volume", "quote_volume")
# An exchange may still change a candle for a moment after its minute.
_SETTLES = timedelta(seconds=15)
# A minute that is not attested yet is waited for; after so long its hole is the ledger's matter alone.
_WAITS = timedelta(hours=1)


class Past(Protocol):
    """What is needed of `producer.history.History`."""

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]: ...


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found: attested minutes compared, and those that differ."""

    minutes: int
    different: int


def compare(
    db: "connection",
    exchange: str,
    symbol: str,
    past: Past,
    *,
    lookback: timedelta,
    now: datetime | None = None,
) -> Compared:
    """Compares the minutes closed since the last comparison, at most those of `lookback`.

    Raises HistoryError.
    """
    now = now or datetime.now(UTC)
    end = _floor(now - _SETTLES)
    found = rows(db, "monitor/compared_through", exchange=exchange, symbol=symbol, floor=_floor(now - lookback))
    if not found or found[0].compared_through >= end:
        return Compared(0, 0)
    start = found[0].compared_through
    candles = {candle.opened_at_us: candle for candle in past.candles(symbol, to_us(start), to_us(end))}
    minutes = rows(db, "monitor/minutes_to_compare", exchange=exchange, symbol=symbol, start=start, end=end)
    attested = [minute for minute in minutes if minute.completeness == "attested"]
    different: dict[datetime, str] = {}
    for minute in attested:
        candle = candles.get(to_us(minute.window_start))
        # where the exchange has no candle, there is nothing to put in the bar's place: the audit names it
        if candle is not None and (told := _differences(minute, candle)):
            different[minute.window_start] = told
    if different:
        store_candles(db, [candles[to_us(minute)] for minute in different], now)
    for first, last in _stretches(sorted(different)):
        detail = f"{first:%H:%M} UTC: {different[first]}"
        rows(
            db, "monitor/record_difference", exchange=exchange, symbol=symbol, start=first, end=last + MINUTE,
            detail=detail, now=now,
        )  # fmt: skip
    waiting = [
        minute.window_start
        for minute in minutes
        if minute.completeness in ("open", "incomplete") and minute.window_start > now - _WAITS
    ]
    rows(db, "monitor/note_compared", exchange=exchange, symbol=symbol, compared_through=min([*waiting, end]))
    return Compared(len(attested), len(different))


def _differences(bar: Any, candle: Candle) -> str:
    """Which fields differ, with both values; empty where none does."""
    told = []
    for name in _FIELDS:
        ours, theirs = getattr(bar, name), getattr(candle, name)
        if _empty(bar) and name not in ("volume", "quote_volume"):
            continue  # the prices of a minute without a trade are made up on either side
        if ours != theirs:
            told.append(f"{name.replace('_', ' ')} {_plain(ours)}, candle {_plain(theirs)}")
    return "; ".join(told)


def _empty(bar: Any) -> bool:
    return bool(bar.volume == 0)


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


def _stretches(minutes: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """First and last of each run of minutes without one missing between."""
    first = last = None
    for minute in minutes:
        if first is not None and last is not None and minute != last + MINUTE:
            yield first, last
            first = None
        first, last = first or minute, minute
    if first is not None and last is not None:
        yield first, last


def _floor(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)
