"""Fills one planned day: trades through the topic `raw_trades` into bars, candles into `candles_1min`.

What coverage has seen is not fetched again, so a day that was cleared, killed or retried goes on where it was. The
ids become `wanted` once they are seen: before that they would look like a loss to the monitor.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol

from crypto_pipeline.candles import store_candles
from crypto_pipeline.history.plan import DayPlan
from crypto_pipeline.id_ranges import count_of, spelled
from crypto_pipeline.period import to_us
from crypto_pipeline.raw_trades import Publish, missing_of, wait_until_seen
from crypto_pipeline.statements import rows
from producer.bulk_files import BulkFileBroken, NoBulkFile
from producer.exchanges.adapter import Candle
from producer.trade import Trade

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# Then it is waited for the Spark job: what it has not read yet may not push live trades out of the broker.
TRADES_AHEAD = 100_000

_ROUNDS = 3  # of fetching what is missing, the first one by file where that was planned

log = logging.getLogger(__name__)


class DayIncomplete(RuntimeError):
    """Trades of a day did not arrive in the bars; the message says which, and what to do."""


class Past(Protocol):
    """What a day needs of `producer.history.History`."""

    def trades(self, symbol: str, first_id: int, last_id: int) -> Iterator[list[Trade]]: ...

    def candles(self, symbol: str, from_us: int, until_us: int) -> list[Candle]: ...


class Files(Protocol):
    """What a day needs of `producer.bulk_files.BulkFiles`."""

    def trades(self, symbol: str, day: date, first_id: int, last_id: int) -> Iterator[list[Trade]]: ...

    def candles(self, symbol: str, day: date) -> list[Candle]: ...


def fill_day(
    db: "connection", past: Past, files: Files, publish: Publish, plan: DayPlan, patience_s: float = 300.0
) -> int:
    """Fetches what a day lacks; how many trades were published, or candles stored.

    patience_s: how long the Spark job may take in nothing. Raises DayIncomplete and HistoryError, noted in
    history_days too.
    """
    _change(db, plan, "filling")
    try:
        if plan.what == "candles":
            written, detail = _fill_candles(db, past, files, plan)
        else:
            written, detail = _fill_trades(db, past, files, publish, plan, patience_s)
    except Exception as error:
        _change(db, plan, "failed", detail=str(error))
        raise
    _change(db, plan, "done", written, detail)
    log.info("%s: done, %d %s", plan.label, written, "candles stored" if plan.what == "candles" else "published")
    return written


def _fill_candles(db: "connection", past: Past, files: Files, plan: DayPlan) -> tuple[int, str | None]:
    asked_at = datetime.now(UTC)
    start_us, end_us = to_us(plan.start), to_us(plan.end)
    detail = None
    if plan.way == "bulk file":
        try:
            told = files.candles(plan.symbol, plan.day)
        except (NoBulkFile, BulkFileBroken) as error:
            log.warning("%s: over REST instead: %s", plan.label, error)
            told, detail = past.candles(plan.symbol, start_us, end_us), f"over REST instead of the file: {error}"
    else:
        told = past.candles(plan.symbol, start_us, end_us)
    candles = [candle for candle in told if start_us <= candle.opened_at_us < end_us]
    return store_candles(db, candles, asked_at), detail


def _fill_trades(
    db: "connection", past: Past, files: Files, publish: Publish, plan: DayPlan, patience_s: float
) -> tuple[int, str | None]:
    if plan.first_id is None or plan.last_id is None:
        return 0, "no trade since then"
    ids = [(plan.first_id, plan.last_id)]
    published, detail = 0, None
    by_file = plan.way == "bulk file"
    for _ in range(_ROUNDS):
        missing = missing_of(db, plan.exchange, plan.symbol, ids)
        if not missing:
            break
        log.info("%s: %d trades are missing: %s", plan.label, count_of(missing), spelled(missing))
        pages = _from_file(files, plan, missing) if by_file else _over_rest(past, plan, missing)
        by_file = False
        try:
            for some in _batches(pages):
                publish(some)
                published += len(some)
                _let_the_job_follow(db, plan, some, patience_s)
        except (NoBulkFile, BulkFileBroken) as error:
            log.warning("%s: over REST instead: %s", plan.label, error)
            detail = f"over REST instead of the file: {error}"
    missing = missing_of(db, plan.exchange, plan.symbol, ids)
    if missing:
        raise DayIncomplete(
            f"{plan.label}: the exchange gives {count_of(missing)} of its trades neither by file nor over REST: "
            f"{spelled(missing)}. Its other minutes are whole; clear the task to ask again"
        )
    rows(
        db,
        "history/open_wanted",
        exchange=plan.exchange,
        symbol=plan.symbol,
        first_id=plan.first_id,
        last_id=plan.last_id,
    )
    return published, detail


def _over_rest(past: Past, plan: DayPlan, missing: Sequence[tuple[int, int]]) -> Iterator[list[Trade]]:
    for first_id, last_id in missing:
        yield from past.trades(plan.symbol, first_id, last_id)


def _from_file(files: Files, plan: DayPlan, missing: Sequence[tuple[int, int]]) -> Iterator[list[Trade]]:
    """The missing trades that the file has; ranges are in order, and so are the file's trades."""
    ranges = iter(missing)
    first_id, last_id = next(ranges)
    for page in files.trades(plan.symbol, plan.day, first_id, missing[-1][1]):
        wanted = []
        for trade in page:
            while last_id < trade.trade_id:
                first_id, last_id = next(ranges)
            if trade.trade_id >= first_id:
                wanted.append(trade)
        if wanted:
            yield wanted


def _batches(pages: Iterator[list[Trade]]) -> Iterator[list[Trade]]:
    """The same trades, TRADES_AHEAD or a little more at a time."""
    batch: list[Trade] = []
    for page in pages:
        batch += page
        if len(batch) >= TRADES_AHEAD:
            yield batch
            batch = []
    if batch:
        yield batch


def _let_the_job_follow(db: "connection", plan: DayPlan, trades: Sequence[Trade], patience_s: float) -> None:
    ids: list[tuple[int, int]] = []
    for trade in trades:
        if ids and trade.trade_id == ids[-1][1] + 1:
            ids[-1] = (ids[-1][0], trade.trade_id)
        else:
            ids.append((trade.trade_id, trade.trade_id))
    if missing := wait_until_seen(db, plan.exchange, plan.symbol, ids, patience_s):
        raise DayIncomplete(
            f"{plan.label}: {count_of(missing)} trades are published ({spelled(missing)}), and the Spark job has "
            f"taken in none for {patience_s:.0f} s: see crypto_pipeline_submit_dag, then clear this task"
        )


def _change(
    db: "connection", plan: DayPlan, state: str, rows_written: int | None = None, detail: str | None = None
) -> None:
    rows(
        db,
        "history/change_day",
        exchange=plan.exchange,
        symbol=plan.symbol,
        day=plan.day,
        what=plan.what,
        state=state,
        rows_written=rows_written,
        detail=detail,
    )
