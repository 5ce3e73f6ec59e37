"""Bars against what the simulated exchange traded: which minutes are wrong, or not vouched for."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from model.demo import Demo

from crypto_pipeline.period import EPOCH, to_us
from local.exchange.control import Control

_FIELDS = (
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("trade_count", "taker_buy_volume", "taker_buy_quote_volume", "first_trade_id", "last_trade_id"),
)
_IDS = ("first_trade_id", "last_trade_id")


def unsettled_minutes(
    demo: Demo, truth: Control, keys: Iterable[tuple[str, str]], since: datetime, until: datetime
) -> list[str]:
    """Minutes that start in [since, until), and why each is not settled: differs, or is not known to be whole.

    Every field is compared digit for digit; of a candle those that the exchange gives.
    """
    found = []
    for exchange, symbol in keys:
        rows = demo.query(
            f"select window_start, completeness, {', '.join(_FIELDS)} from bars_1min "  # noqa: S608 - constants
            "where exchange = %s and symbol = %s and window_start >= %s and window_start < %s and volume > 0",
            *(exchange, symbol, since, until),
        )
        ours = {row[0]: row[1:] for row in rows}
        true = {
            EPOCH + timedelta(microseconds=bar.window_start_us): {name: getattr(bar, name) for name in _FIELDS}
            for bar in truth.true_bars(exchange, symbol, to_us(since), to_us(until))
        }
        for minute in sorted({*ours, *true}):
            completeness, *values = ours.get(minute, ("absent",))
            about = f"{exchange} {symbol} {minute:%H:%M} {completeness}"
            bar = _told(completeness, values)
            if wrong := _differences(bar, true.get(minute)):
                found.append(f"{about}: {wrong}")
            elif completeness not in ("proven", "attested", "candle"):
                found.append(about)
    return found


def _told(completeness: str, values: list[Any]) -> dict[str, Any]:
    """What a row says. The ids of a row that shows a candle are those of our own bar, which is another one."""
    told = dict(zip(_FIELDS, values, strict=False))
    if completeness == "candle":
        return {name: value for name, value in told.items() if name not in _IDS and value is not None}
    return told


def _differences(bar: dict[str, Any], true: dict[str, Any] | None) -> str:
    if not bar or true is None:
        return "no bar, and there were trades" if true else "a bar, and there were no trades"
    return ", ".join(
        f"{name} {_plain(value)} instead of {_plain(true[name])}"
        for name, value in bar.items()
        if value != true[name]
    )


def _plain(value: Decimal | int) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
