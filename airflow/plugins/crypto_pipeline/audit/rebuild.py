"""Bars made anew from the exchange's trades, where they differ from its candles.

A bar of an exchange with consecutive ids that differs is rebuilt once: its trades are fetched by id, then the bar
is forgotten and the trades are published like any others. They are fetched first, so that a bar is never given up
for trades that cannot be had. The database keeps each step: a run that is killed is taken up by the next.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from crypto_pipeline.id_ranges import count_of, spelled
from crypto_pipeline.period import MINUTE, Period
from crypto_pipeline.raw_trades import Publish, wait_until_seen
from crypto_pipeline.statements import rows, statement
from producer.history import HistoryError
from producer.trade import Trade

if TYPE_CHECKING:
    from psycopg2.extensions import connection

log = logging.getLogger(__name__)


class Past(Protocol):
    """What a rebuild needs of `producer.history.History`."""

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run rebuilds of a symbol; what is left waits for the next.

    minutes, trades: at most so many. patience_s: how long the Spark job may take in nothing of what was published.
    """

    minutes: int = 60
    trades: int = 50_000
    patience_s: float = 120.0


def to_rebuild(db: "connection", exchange: str, symbol: str, period: Period, bounds: Bounds) -> list[Period]:
    """Stretches of minutes that differ and were not rebuilt yet, oldest first, within the bounds."""
    bars = rows(db, "audit/bars_to_rebuild", exchange=exchange, symbol=symbol, start=period.start, end=period.end)
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


def rebuild(
    db: "connection", past: Past, publish: Publish, exchange: str, symbol: str, minutes: Period, bounds: Bounds
) -> None:
    """Makes the bars of these minutes anew and waits for the Spark job; leaves them where trades cannot be had."""
    where = f"{exchange}:{symbol} {minutes.start:%Y-%m-%d %H:%M} to {minutes.end:%H:%M}"
    values: dict[str, Any] = {"exchange": exchange, "symbol": symbol, "start": minutes.start, "end": minutes.end}
    ((first_id, last_id),) = rows(db, "audit/ids_of_bars", **values)
    try:
        trades = {trade.trade_id: trade for page in past.trades(symbol, first_id, last_id) for trade in page}
    except HistoryError as error:
        log.warning("%s: not rebuilt, the next run tries again: %s", where, error)
        return
    if len(trades) < last_id - first_id + 1:
        reason = f"not rebuilt: over REST the exchange gives {len(trades)} of the trades {first_id}-{last_id}"
        log.warning("%s: %s", where, reason)
        rows(db, "audit/give_up_rebuild", **values, detail=reason)
        return
    with db, db.cursor() as cursor:
        cursor.execute(statement("audit/begin_rebuild"), values)
        cursor.execute(statement("audit/forget"), values)
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
