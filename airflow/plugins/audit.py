"""The second judge: proven and attested bars against the exchange's candles, and the rebuild of those that differ.

What is compared and how is in the schema (postgres/init/070_audit.sql: `audited_minutes`, `differing_fields`), so
anyone can ask the same with psql. Here is what is done about it.

A bar of an exchange with consecutive ids that differs is rebuilt once: its trades are fetched by id, then the bar
is forgotten and the trades are published like any others. They are fetched first, so that a bar is never given up
for trades that cannot be had. The database keeps each step: a run that is killed is taken up by the next.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from candles import EPOCH, store_candles
from raw_trades import Publish, count_of, spelled, wait_until_seen
from statements import rows, statement

from producer.exchanges import EXCHANGES
from producer.exchanges.adapter import Candle
from producer.history import HistoryError
from producer.trade import Trade

if TYPE_CHECKING:
    from psycopg2.extensions import connection

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

log = logging.getLogger(__name__)


class Past(Protocol):
    """What the audit needs of `producer.history.History`."""

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]: ...

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]: ...


class BadPeriod(ValueError):
    """A period that cannot be audited; the message says why, and names the parameter."""


@dataclass(frozen=True, slots=True)
class Period:
    """The minutes that open in [start, end)."""

    start: datetime
    end: datetime

    def days(self, partly: bool = False) -> list["Period"]:
        """The UTC days that lie in the period as a whole; partly: also the parts of the others."""
        day = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        found = []
        while day < self.end:
            part = Period(max(day, self.start), min(day + DAY, self.end))
            if partly or part.end - part.start == DAY:
                found.append(part)
            day += DAY
        return found


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run rebuilds of a symbol; what is left waits for the next.

    minutes, trades: at most so many. patience_s: how long the Spark job may take in nothing of what was published.
    """

    minutes: int = 60
    trades: int = 50_000
    patience_s: float = 120.0


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


def period_to_audit(now: datetime, start: str | None, end: str | None, lookback: timedelta) -> Period:
    """The period from one ISO time to another, whole minutes; without them what lies `lookback` before now.

    Ends two minutes ago at the latest: by then an exchange has closed its candles. Raises BadPeriod.
    """
    latest = (now.astimezone(UTC) - 2 * MINUTE).replace(second=0, microsecond=0)
    until = min(read_time("to", end), latest) if end else latest
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    since = read_time("from", start) if start else min(hour, until) - lookback
    if since >= until:
        raise BadPeriod(f"from: {since:%Y-%m-%d %H:%M} is not before {until:%Y-%m-%d %H:%M}, where the audit ends")
    return Period(since, until)


def read_time(name: str, text: str) -> datetime:
    """The minute that an ISO text names, in UTC where it names no zone. Raises BadPeriod."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadPeriod(f"{name}: {text!r} is no time: write it as 2026-11-21T10:00") from error
    time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    return time.replace(second=0, microsecond=0)


def symbols_to_audit(db: "connection", period: Period, chosen: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(exchange, symbol) of those with bars in the period; chosen: only these, as `binance:BTC-USDT`.

    Raises BadPeriod where one that was chosen has none.
    """
    known = rows(db, "symbols_with_bars", start=period.start, end=period.end)
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
        for minutes in _to_rebuild(db, exchange, symbol, period, bounds):
            _rebuild(db, past, publish, exchange, symbol, minutes, bounds)
            rebuilt += int((minutes.end - minutes.start) / MINUTE)
        if rebuilt:
            # the bar is proven anew, later than the candles were asked for
            fetch_candles(db, past, exchange, symbol, period)
    _note(db, exchange, symbol, period)
    _conclude(db, exchange, symbol, period)
    (counts,) = rows(db, "count_minutes", exchange=exchange, symbol=symbol, start=period.start, end=period.end)
    return SymbolAudit(exchange, symbol, **counts._asdict(), rebuilt=rebuilt)


def fetch_candles(db: "connection", past: Past, exchange: str, symbol: str, period: Period) -> int:
    """Fetches the exchange's candles of a period into the database; how many. Raises HistoryError."""
    asked_at = datetime.now(UTC)
    return store_candles(db, past.candles(symbol, to_us(period.start), to_us(period.end)), asked_at)


def certify(db: "connection", exchange: str, symbol: str, day: Period) -> None:
    """Issues the certificate of a UTC day, or of the part of it that was audited; anew where it changed."""
    rows(db, "certify", exchange=exchange, symbol=symbol, day=day.start.date(), start=day.start, end=day.end)


def to_us(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def _note(db: "connection", exchange: str, symbol: str, period: Period) -> None:
    """Brings bar_differences up to what differs now."""
    for name in ("note_differences", "settle_differences"):
        rows(db, name, exchange=exchange, symbol=symbol, start=period.start, end=period.end)


def _conclude(db: "connection", exchange: str, symbol: str, period: Period) -> None:
    """What differs after its rebuild, or cannot be rebuilt, stands."""
    rows(
        db,
        "conclude_differences",
        exchange=exchange,
        symbol=symbol,
        start=period.start,
        end=period.end,
        consecutive=EXCHANGES[exchange].consecutive_ids,
    )


def _to_rebuild(db: "connection", exchange: str, symbol: str, period: Period, bounds: Bounds) -> list[Period]:
    """Stretches of minutes that differ and were not rebuilt yet, oldest first, within the bounds."""
    bars = rows(db, "bars_to_rebuild", exchange=exchange, symbol=symbol, start=period.start, end=period.end)
    chosen: list[datetime] = []
    trades = 0
    for window_start, trade_ids in bars[: bounds.minutes]:
        trades += trade_ids
        if trades > bounds.trades and chosen:
            break
        chosen.append(window_start)
    if len(chosen) < len(bars):
        log.warning(
            "%s:%s: %d minutes differ, of which this run rebuilds %d and the next ones the rest",
            exchange, symbol, len(bars), len(chosen),
        )  # fmt: skip
    return list(_stretches(chosen))


def _stretches(minutes: Iterable[datetime]) -> Iterator[Period]:
    start = end = None
    for minute in minutes:
        if start is None or end is None:
            start = minute
        elif minute != end:
            yield Period(start, end)
            start = minute
        end = minute + MINUTE
    if start is not None and end is not None:
        yield Period(start, end)


def _rebuild(
    db: "connection", past: Past, publish: Publish, exchange: str, symbol: str, minutes: Period, bounds: Bounds
) -> None:
    where = f"{exchange}:{symbol} {minutes.start:%Y-%m-%d %H:%M} to {minutes.end:%H:%M}"
    values: dict[str, Any] = {"exchange": exchange, "symbol": symbol, "start": minutes.start, "end": minutes.end}
    ((first_id, last_id),) = rows(db, "ids_of_bars", **values)
    try:
        trades = {trade.trade_id: trade for page in past.trades(symbol, first_id, last_id) for trade in page}
    except HistoryError as error:
        log.warning("%s: not rebuilt, the next run tries again: %s", where, error)
        return
    if len(trades) < last_id - first_id + 1:
        reason = f"not rebuilt: over REST the exchange gives {len(trades)} of the trades {first_id}-{last_id}"
        log.warning("%s: %s", where, reason)
        rows(db, "give_up_rebuild", **values, detail=reason)
        return
    with db, db.cursor() as cursor:
        cursor.execute(statement("begin_rebuild"), values)
        cursor.execute(statement("forget"), values)
        gone = [(first, last) for first, last in cursor.fetchall()]
    log.info("%s: forgotten, with the trades %s, which are published again", where, spelled(gone))
    publish([trades[trade_id] for trade_id in sorted(trades)])
    for first, last in gone:  # neighbours that overlapped in ids, and voided trades at the edges
        for others in ((first, min(last, first_id - 1)), (max(first, last_id + 1), last)):
            for page in past.trades(symbol, *others):
                publish(page)
    if missing := wait_until_seen(db, exchange, symbol, gone, bounds.patience_s):
        log.warning(
            "%s: after %.0f s without progress the Spark job has not taken in %d trades (%s): they are holes, "
            "which the monitor fills, and the next audit compares again",
            where, bounds.patience_s, count_of(missing), spelled(missing),
        )  # fmt: skip
