"""What a piece of the past will cost before it is fetched: calls, weight and time, a UTC day and symbol at a time.

A plan asks the exchange for the ids at the edges of each day (a call each), and the database for what is there
already: planned again, it holds what is still to be done.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from crypto_pipeline.id_ranges import count_of
from crypto_pipeline.period import MINUTE, Period, to_us
from crypto_pipeline.raw_trades import missing_of
from crypto_pipeline.statements import rows
from producer.exchanges import EXCHANGES
from producer.exchanges.adapter import Newest, adapter_of
from producer.trade import is_symbol

if TYPE_CHECKING:
    from psycopg2.extensions import connection

What = Literal["trades", "candles"]
Source = Literal["auto", "rest", "bulk file"]
Way = Literal["rest", "bulk file"]

MAX_DAYS = 1000  # of all symbols together: Airflow maps a task to 1,024 instances at most
_CALL_S = 0.2  # a call takes at least so long
_BULK_ROWS_PER_S = 10_000  # read, published and taken in by the job
_BULK_S = 10.0  # to download a file, whatever is in it


class CannotPlan(ValueError):
    """What was asked for cannot be had; the message names the parameter and says what to ask for instead."""


class Past(Protocol):
    """What a plan needs of `producer.history.History`."""

    def first_id(self, symbol: str, from_us: int) -> int | None: ...

    def newest(self, symbols: Sequence[str]) -> dict[str, Newest]: ...


class Files(Protocol):
    """What a plan needs of `producer.bulk_files.BulkFiles`."""

    def has_trades(self, symbol: str, day: date) -> bool: ...


@dataclass(frozen=True, slots=True)
class DayPlan:
    """A UTC day, or a part of it, of one symbol.

    first_id, last_id: the ids of that time, with the one before and the one after, which prove its first and its
    last bar; None for candles, and where there was no trade. rows: trades that are missing, or minutes.
    calls, weight, seconds: what fetching them takes.
    """

    exchange: str
    symbol: str
    what: What
    start: datetime
    end: datetime
    first_id: int | None
    last_id: int | None
    rows: int
    way: Way
    calls: int
    weight: int
    seconds: float

    @property
    def day(self) -> date:
        return self.start.date()

    @property
    def label(self) -> str:
        """What the task instance is called."""
        return f"{self.exchange}:{self.symbol} {self.day} {self.what}"

    def to_json(self) -> dict[str, Any]:
        """For XCom. The inverse of `from_json`."""
        return asdict(self) | {"start": self.start.isoformat(), "end": self.end.isoformat(), "label": self.label}

    @staticmethod
    def from_json(fields: dict[str, Any]) -> "DayPlan":
        known = {name: value for name, value in fields.items() if name != "label"}
        times = {name: datetime.fromisoformat(fields[name]) for name in ("start", "end")}
        return DayPlan(**(known | times))


def read_symbols(keys: Sequence[str], what: What) -> list[tuple[str, str]]:
    """(exchange, symbol) of `binance:BTC-USDT`, each once. Raises CannotPlan."""
    found: dict[tuple[str, str], None] = {}
    for key in keys:
        exchange, _, symbol = key.strip().partition(":")
        if exchange not in EXCHANGES or not is_symbol(symbol):
            known = ", ".join(EXCHANGES)
            raise CannotPlan(f"symbols: {key!r} is not of the form binance:BTC-USDT; exchanges are {known}")
        if what == "trades" and adapter_of(exchange).first_id_request(symbol, 0) is None:
            raise CannotPlan(
                f"symbols: {key}: {exchange} gives no trades of the past but the last "
                f"{adapter_of(exchange).TRADES_PER_PAGE}; ask for its candles instead (what: candles)"
            )
        found[exchange, symbol] = None
    if not found:
        raise CannotPlan("symbols: name at least one, as binance:BTC-USDT")
    return list(found)


def plan_trades(
    db: "connection",
    past: Past,
    files: Files,
    exchange: str,
    symbol: str,
    period: Period,
    weight_share: float,
    source: Source = "auto",
) -> list[DayPlan]:
    """The days of a symbol's trades, oldest first. Raises HistoryError and CannotPlan."""
    adapter, days = adapter_of(exchange), period.days(partly=True)
    edges = [past.first_id(symbol, to_us(edge)) for edge in [*(day.start for day in days), days[-1].end]]
    if edges[0] is not None and None in edges:
        newest = past.newest([symbol])[symbol].trade_id
        # no trade has come after the last of these edges yet: there is none to prove it
        edges = [newest if edge is None else edge for edge in edges]
    plans = []
    for day, first_id, after in zip(days, edges, edges[1:], strict=False):
        if first_id is None or after is None:
            plans.append(_plan(exchange, symbol, "trades", day, None, 0, "rest", 0, 0, weight_share))
            continue
        ids = (max(first_id - 1, 0), after)
        missing = missing_of(db, exchange, symbol, [ids])
        request = adapter.trades_request(symbol, first_id)
        assert request is not None  # or there were no ids
        calls = sum(math.ceil((last - first + 1) / adapter.TRADES_PER_PAGE) for first, last in missing)
        count = count_of(missing)
        by_rest = _plan(exchange, symbol, "trades", day, ids, count, "rest", calls, request.weight, weight_share)
        by_file = _plan(exchange, symbol, "trades", day, ids, count, "bulk file", 0, 0, weight_share)
        cheaper = source == "bulk file" or (source == "auto" and by_file.seconds < by_rest.seconds)
        if count and cheaper and files.has_trades(symbol, day.start.date()):
            plans.append(by_file)
        elif count and source == "bulk file":
            raise CannotPlan(
                f"source: {exchange} has no file of {symbol} on {day.start:%Y-%m-%d}: files appear the day after; "
                "choose auto or rest"
            )
        else:
            plans.append(by_rest)
    return plans


def plan_candles(
    exchange: str, symbol: str, period: Period, weight_share: float, source: Source = "auto"
) -> list[DayPlan]:
    """The days of a symbol's candles, oldest first.

    Over REST a day takes a call or two, which is cheaper than its file: that is taken only where it is asked for.
    Raises CannotPlan.
    """
    adapter = adapter_of(exchange)
    if source == "bulk file" and adapter.candles_file(symbol, period.start.date()) is None:
        raise CannotPlan(f"source: {exchange} publishes no files; choose auto or rest")
    plans = []
    for day in period.days(partly=True):
        minutes = int((day.end - day.start) / MINUTE)
        request = adapter.candles_request(symbol, to_us(day.start), to_us(day.end))
        by_file = source == "bulk file"
        calls = 0 if by_file else math.ceil(minutes / adapter.CANDLES_PER_PAGE)
        way: Way = "bulk file" if by_file else "rest"
        plans.append(
            _plan(exchange, symbol, "candles", day, None, minutes, way, calls, request.weight, weight_share)
        )
    return plans


def keep(db: "connection", plans: Sequence[DayPlan]) -> None:
    """Writes the plans down in history_days, in place of older ones of the same days. Raises CannotPlan."""
    if len(plans) > MAX_DAYS:
        raise CannotPlan(
            f"{len(plans)} days of all symbols together, and one run takes {MAX_DAYS}: ask for less at a time"
        )
    for plan in plans:
        ids = None if plan.first_id is None else f"[{plan.first_id},{plan.last_id}]"
        rows(db, "history/keep_plan", **asdict(plan), day=plan.day, ids=ids)


def _plan(
    exchange: str,
    symbol: str,
    what: What,
    day: Period,
    ids: tuple[int, int] | None,
    count: int,
    way: Way,
    calls: int,
    call_weight: int,
    weight_share: float,
) -> DayPlan:
    weight, limit = calls * call_weight, adapter_of(exchange).LIMITS.weight
    seconds = max(calls * _CALL_S, weight / (limit.count * weight_share) * limit.per_s)
    if way == "bulk file":
        seconds = _BULK_S + count / _BULK_ROWS_PER_S
    first_id, last_id = ids or (None, None)
    return DayPlan(
        exchange, symbol, what, day.start, day.end, first_id, last_id, count, way, calls, weight, round(seconds, 1)
    )
