"""Bars against what the simulated exchange traded: which minutes are wrong, or not vouched for."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from model.demo import Demo

from local.exchange.control import Control

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = ("open", "high", "low", "close", "volume", "quote_volume")


def unsettled_minutes(
    demo: Demo, truth: Control, keys: Iterable[tuple[str, str]], since: datetime, until: datetime
) -> list[str]:
    """Minutes that start in [since, until), and why each is not settled: differs, or is not known to be whole."""
    found = []
    for exchange, symbol in keys:
        rows = demo.query(
            f"select window_start, completeness, {', '.join(_FIELDS)} from bars_1min "  # noqa: S608 - constants
            "where exchange = %s and symbol = %s and window_start >= %s and window_start < %s and volume > 0",
            *(exchange, symbol, since, until),
        )
        ours = {row[0]: row[1:] for row in rows}
        true = {
            _EPOCH + timedelta(microseconds=bar.window_start_us): tuple(getattr(bar, field) for field in _FIELDS)
            for bar in truth.true_bars(exchange, symbol, _us(since), _us(until))
        }
        for minute in sorted({*ours, *true}):
            completeness, *values = ours.get(minute, ("absent",))
            if tuple(values) != true.get(minute):
                found.append(
                    f"{exchange} {symbol} {minute:%H:%M} {completeness}: {_told(values, true.get(minute))}"
                )
            elif completeness not in ("proven", "attested", "candle"):
                found.append(f"{exchange} {symbol} {minute:%H:%M} {completeness}")
    return found


def _told(ours: list[Any], true: Any) -> str:
    return f"{[str(value) for value in ours]} instead of {[str(value) for value in true or ()]}"


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
