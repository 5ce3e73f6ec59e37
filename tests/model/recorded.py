"""The recorded real minutes in a pipeline that replays them: the exchange's own bars, and ours of them."""

import csv
import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from model.demo import Demo, Row, wait_until

RECORDED = Path(__file__).parents[1] / "recorded"
FIELDS = (
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("trade_count", "taker_buy_volume", "taker_buy_quote_volume"),
)
FULL_MINUTES = 16


def recorded_bars() -> list[Row]:
    """The exchange's own klines of the recorded minutes."""
    with (RECORDED / "TRXUSDT_1m_klines_20250304.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:FULL_MINUTES]
    return [tuple(int(row[f]) if f == "trade_count" else Decimal(row[f]) for f in FIELDS) for row in rows]


def bars(demo: Demo, proven: bool) -> dict[datetime, Row]:
    """The bars of the recorded symbol by minute, all or the proven ones."""
    rows = demo.query(
        f"select window_start, {', '.join(FIELDS)} from trades_1min_agg "  # noqa: S608 - constants
        "where exchange = 'binance' and symbol = 'TRX-USDT' and (not %s or proven_at is not null)",
        proven,
    )
    return {row[0]: row[1:] for row in rows}


def proven_recorded_bars(demo: Demo, within_s: float) -> list[Row]:
    """Waits until every recorded minute is proven; our bars of them."""
    with gzip.open(RECORDED / "TRXUSDT_trades_20250304.csv.gz", "rt", newline="") as file:
        first = next(csv.DictReader(file))
    at = datetime.fromtimestamp(int(first["trade_time_ms"]) / 1000, UTC).replace(second=0, microsecond=0)

    def replayed_first_minute() -> datetime | None:
        rows = demo.query(
            "select window_start from trades_1min_agg where exchange = 'binance' and symbol = 'TRX-USDT' "
            "and first_trade_id <= %s and last_trade_id >= %s",
            *(int(first["trade_id"]), int(first["trade_id"])),
        )
        return rows[0][0] if rows else None

    wait_until(replayed_first_minute, within_s, "the first recorded trade is in a bar")
    begins = replayed_first_minute()
    assert begins is not None
    assert (begins - at) % timedelta(minutes=1) == timedelta(0)
    minutes = [begins + timedelta(minutes=n) for n in range(FULL_MINUTES)]
    wait_until(lambda: bars(demo, proven=True).keys() >= set(minutes), within_s, "the recorded minutes are proven")
    built = bars(demo, proven=False)
    return [built[minute] for minute in minutes]
