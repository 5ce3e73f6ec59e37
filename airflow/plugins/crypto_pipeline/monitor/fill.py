"""Brings what a symbol's gaps lack: trades by id over REST, published like any others; else the candles.

An attempt asks only for what is missing at that moment, so it may be cut off and made again at any time. It counts
if the exchange answered; one that the exchange or the clock ended is given back, since the gap is not to blame.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from crypto_pipeline.candles import store_candles
from crypto_pipeline.id_ranges import Ranges, count_of, merged, minus, overlaps, spelled
from crypto_pipeline.monitor.gaps import Work
from crypto_pipeline.period import to_us
from crypto_pipeline.raw_trades import Publish
from crypto_pipeline.statements import rows
from producer.exchanges import EXCHANGES
from producer.exchanges.adapter import Candle, adapter_of
from producer.history import ExchangeAway, HistoryError
from producer.trade import Trade

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# An exchange may still change a candle for a moment after its minute.
_CANDLE_SETTLES = timedelta(seconds=15)

log = logging.getLogger(__name__)


class Past(Protocol):
    """What is needed of `producer.history.History`."""

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]: ...

    def recent_trades(self, symbol: str) -> list[Trade]: ...

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]: ...


@dataclass(frozen=True, slots=True)
class Filled:
    """What a task did. summary: in words."""

    exchange: str
    symbol: str
    published: int
    summary: str


@dataclass(slots=True)
class _Gap:
    """A gap under way. left: its ids that coverage lacked and no published trade accounts for."""

    gap_id: int
    window_from: datetime
    window_to: datetime
    attempts: int
    left: Ranges
    published: int = 0
    counts: bool = True
    answers: list[str] = field(default_factory=list)
    candles_fetched_at: datetime | None = None


def fill(
    db: "connection",
    work: Work,
    past: Past,
    publishing: Callable[[], AbstractContextManager[Publish]],
    *,
    within_s: float,
    max_attempts: int,
    now: datetime | None = None,
) -> Filled:
    """One attempt at the gaps of a symbol.

    publishing: a context that gives the function which publishes trades, at whose end all are acknowledged.
    within_s: after so long it stops, and the next run goes on where it did.
    max_attempts: the last of them also keeps the candles of the minutes, which people read instead.
    Raises what `publishing` raises; a refusal of the exchange is written into the ledger.
    """
    now = now or datetime.now(UTC)
    gaps = [
        _Gap(row.gap_id, row.window_from, row.window_to, row.attempts, _missing(db, row.gap_id))
        for row in rows(db, "monitor/start_filling", gap_ids=work.gap_ids)
    ]
    consecutive = EXCHANGES[work.exchange].consecutive_ids
    try:
        with publishing() as publish:
            _by_trades(work, gaps, past, publish, time.monotonic() + within_s)
    except BaseException as error:
        for gap in gaps:
            gap.published, gap.counts = 0, False
            gap.answers.append(f"not delivered: {error}")
            _conclude(db, gap)
        raise
    for gap in gaps:
        if gap.counts and gap.left and (not consecutive or gap.attempts >= max_attempts):
            _keep_candles(db, work, gap, past, now, needed=not consecutive)
        _conclude(db, gap)
    published = sum(gap.published for gap in gaps)
    answers = "; ".join(dict.fromkeys(answer for gap in gaps for answer in gap.answers)) or "nothing was missing"
    log.info("%s:%s: %d trades published; %s", work.exchange, work.symbol, published, answers)
    return Filled(work.exchange, work.symbol, published, answers)


def _missing(db: "connection", gap_id: int) -> Ranges:
    return [(row.first_id, row.last_id) for row in rows(db, "monitor/missing_of_gap", gap_id=gap_id)]


def _by_trades(work: Work, gaps: Sequence[_Gap], past: Past, publish: Publish, deadline: float) -> None:
    asked = [count_of(gap.left) for gap in gaps]
    interrupted = None
    try:
        for page in _pages(work, gaps, past):
            _publish_missing(gaps, page, publish)
            if time.monotonic() > deadline and any(gap.left for gap in gaps):
                interrupted = "the time of this run is up, the next one goes on"
                break
    except HistoryError as error:
        interrupted = str(error)
        for gap in gaps:
            gap.counts = not isinstance(error, ExchangeAway)
    else:
        for gap in gaps:
            gap.counts = interrupted is None
    for gap, ids in zip(gaps, asked, strict=True):
        if ids:
            gap.answers.append(f"{gap.published:,} trades came for {ids:,} missing ids")
        if gap.left and interrupted is None:
            gap.answers.append(f"the exchange gives nothing for {spelled(gap.left, 3)}")
        elif gap.left and interrupted:
            gap.answers.append(interrupted)


def _pages(work: Work, gaps: Sequence[_Gap], past: Past) -> Iterator[list[Trade]]:
    """Pages of trades that may hold what is missing, oldest first."""
    missing = [ids for gap in gaps for ids in gap.left]
    if EXCHANGES[work.exchange].consecutive_ids:
        # a page costs the same however few of its trades are missing
        for first, last in merged(missing, adapter_of(work.exchange).TRADES_PER_PAGE):
            yield from past.trades(work.symbol, first, last)
    elif missing:
        # all that REST gives of such an exchange is its newest trades, each with the id before it
        yield past.recent_trades(work.symbol)


def _publish_missing(gaps: Sequence[_Gap], page: Sequence[Trade], publish: Publish) -> None:
    """Publishes the trades of a page that account for a missing id."""
    missing = merged(ids for gap in gaps for ids in gap.left)
    chosen = [trade for trade in page if overlaps(missing, _first_id(trade), trade.trade_id)]
    if not chosen:
        return
    publish(chosen)
    accounted = merged((_first_id(trade), trade.trade_id) for trade in chosen)
    for gap in gaps:
        if gap.left and overlaps(accounted, gap.left[0][0], gap.left[-1][1]):
            gap.published += sum(overlaps(gap.left, trade.trade_id, trade.trade_id) for trade in chosen)
            gap.left = minus(gap.left, accounted)


def _first_id(trade: Trade) -> int:
    """The lowest id that a trade accounts for."""
    return trade.trade_id if trade.prev_trade_id is None else trade.prev_trade_id + 1


def _keep_candles(db: "connection", work: Work, gap: _Gap, past: Past, now: datetime, needed: bool) -> None:
    """needed: the gap is mended by candles, so without them the attempt does not count."""
    minutes = f"{gap.window_from.astimezone(UTC):%H:%M} to {gap.window_to.astimezone(UTC):%H:%M} UTC"
    if gap.window_to > now - _CANDLE_SETTLES:
        gap.counts = not needed
        gap.answers.append(f"the candles of {minutes} are not all closed yet")
        return
    try:
        found = past.candles(work.symbol, to_us(gap.window_from), to_us(gap.window_to))
    except HistoryError as error:
        gap.counts = not (needed and isinstance(error, ExchangeAway))
        gap.answers.append(str(error))
        return
    gap.candles_fetched_at = now
    gap.answers.append(f"{store_candles(db, found, now)} candles of {minutes} kept")


def _conclude(db: "connection", gap: _Gap) -> None:
    rows(
        db,
        "monitor/end_filling",
        gap_id=gap.gap_id,
        recovered=gap.published,
        attempts_back=0 if gap.counts else 1,
        candles_fetched_at=gap.candles_fetched_at,
        detail="; ".join(gap.answers) or None,
    )
