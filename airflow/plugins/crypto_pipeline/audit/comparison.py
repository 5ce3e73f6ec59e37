"""The second judge: proven and attested bars against the exchange's candles, and the rebuild of those that differ.

What is compared and how is in the schema (postgres/init/070_audit.sql: `audited_minutes`, `differing_fields`), so
anyone can ask the same with psql. Here is what is done about it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from crypto_pipeline.audit.rebuild import Bounds, rebuild, to_rebuild
from crypto_pipeline.candles import store_candles
from crypto_pipeline.period import MINUTE, BadPeriod, Period, to_us
from crypto_pipeline.raw_trades import Publish
from crypto_pipeline.statements import rows
from producer.exchanges import EXCHANGES
from producer.exchanges.adapter import Candle
from producer.trade import Trade

if TYPE_CHECKING:
    from psycopg2.extensions import connection


class Past(Protocol):
    """What the audit needs of `producer.history.History`."""

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]: ...

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]: ...


@dataclass(frozen=True, slots=True)
class SymbolAudit:
    """What an audit of a symbol found: minutes by completeness and by verdict, after any rebuild."""

    exchange: str
    symbol: str
    proven: int
    attested: int
    empty: int
    unproven: int
    equal: int
    different: int
    without_candle: int
    rebuilt: int

    def __str__(self) -> str:
        return (
            f"{self.exchange}:{self.symbol}: {self.equal} minutes equal the exchange's candles, {self.different} "
            f"differ, of {self.without_candle} the exchange has no candle; {self.proven} proven, {self.attested} "
            f"attested, {self.empty} empty, {self.unproven} unproven; {self.rebuilt} rebuilt"
        )


def symbols_to_audit(db: "connection", period: Period, chosen: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(exchange, symbol) of those with bars in the period; chosen: only these, as `binance:BTC-USDT`.

    Raises BadPeriod where one that was chosen has none.
    """
    known = rows(db, "audit/symbols_with_bars", start=period.start, end=period.end)
    found = [(row.exchange, row.symbol) for row in known]
    if not chosen:
        return found
    if unknown := [key for key in chosen if tuple(key.split(":", 1)) not in found]:
        raise BadPeriod(f"symbols: of {', '.join(unknown)} there is no bar in the period")
    return [one for one in found if ":".join(one) in chosen]


def audit_symbol(
    db: "connection",
    past: Past,
    publish: Publish,
    exchange: str,
    symbol: str,
    period: Period,
    bounds: Bounds | None = None,
) -> SymbolAudit:
    """Compares a symbol's bars of a period with the exchange's candles, and rebuilds those that differ.

    Raises HistoryError where the exchange gives no candles.
    """
    bounds = bounds or Bounds()
    fetch_candles(db, past, exchange, symbol, period)
    _note(db, exchange, symbol, period)
    rebuilt = 0
    if EXCHANGES[exchange].consecutive_ids:
        for minutes in to_rebuild(db, exchange, symbol, period, bounds):
            rebuild(db, past, publish, exchange, symbol, minutes, bounds)
            rebuilt += int((minutes.end - minutes.start) / MINUTE)
        if rebuilt:
            # the bar is proven anew, later than the candles were asked for
            fetch_candles(db, past, exchange, symbol, period)
    _note(db, exchange, symbol, period)
    _conclude(db, exchange, symbol, period)
    (counts,) = rows(
        db, "audit/count_minutes", exchange=exchange, symbol=symbol, start=period.start, end=period.end
    )
    return SymbolAudit(exchange, symbol, **counts._asdict(), rebuilt=rebuilt)


def fetch_candles(db: "connection", past: Past, exchange: str, symbol: str, period: Period) -> int:
    """Fetches the exchange's candles of a period into the database; how many. Raises HistoryError."""
    asked_at = datetime.now(UTC)
    return store_candles(db, past.candles(symbol, to_us(period.start), to_us(period.end)), asked_at)


def certify(db: "connection", exchange: str, symbol: str, day: Period) -> None:
    """Issues the certificate of a UTC day, or of the part of it that was audited; anew where it changed."""
    rows(db, "audit/certify", exchange=exchange, symbol=symbol, day=day.start.date(), start=day.start, end=day.end)


def _note(db: "connection", exchange: str, symbol: str, period: Period) -> None:
    """Brings bar_differences up to what differs now."""
    for name in ("audit/note_differences", "audit/settle_differences"):
        rows(db, name, exchange=exchange, symbol=symbol, start=period.start, end=period.end)


def _conclude(db: "connection", exchange: str, symbol: str, period: Period) -> None:
    """What differs after its rebuild, or cannot be rebuilt, stands."""
    rows(
        db,
        "audit/conclude_differences",
        exchange=exchange,
        symbol=symbol,
        start=period.start,
        end=period.end,
        consecutive=EXCHANGES[exchange].consecutive_ids,
    )
