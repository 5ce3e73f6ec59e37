"""The gap ledger: what is missing is written down, planned, and judged by coverage alone.

A gap is found once, keeps its ids, and ends verified or unfillable. Its state is only ever a summary of coverage
and of attempts made, so each function here may be called again at any time.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crypto_pipeline.statements import rows
from producer.exchanges import EXCHANGES
from producer.exchanges.adapter import adapter_of

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from crypto_pipeline.monitor.freshness import Freshness

_HOLES_AT_ONCE = 200  # of a symbol that one run records; the next one goes on
_GAPS_AT_ONCE = 500  # of a symbol that one attempt fills


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the monitor fills itself.

    weight_share: its part of an exchange's REST weight. minutes: what takes longer is for the history DAG.
    max_age: so is what is older. symbols: filled in a run, at most.
    """

    weight_share: float
    minutes: float
    max_age: timedelta
    symbols: int = 16


@dataclass(frozen=True, slots=True)
class Work:
    """The gaps of a symbol that one task fills. missing: ids, where they are consecutive. label: for people."""

    exchange: str
    symbol: str
    gap_ids: list[int]
    missing: int
    label: str

    def as_json(self) -> dict[str, Any]:
        """As it goes from one task to another."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Change:
    """A gap whose state changed."""

    gap_id: int
    exchange: str
    symbol: str
    state: str


def record_holes(db: "connection", grace_s: float, now: datetime | None = None) -> int:
    """Writes holes into the ledger that are not in it and older than the grace; how many."""
    values = {"now": now or datetime.now(UTC), "grace_s": grace_s, "at_most": _HOLES_AT_ONCE}
    return len(rows(db, "monitor/record_holes", **values))


def record_tail(db: "connection", found: "Freshness", now: datetime | None = None) -> int:
    """Writes the ids above our newest, up to the exchange's, into the ledger, as far as they are not in it."""
    return len(
        rows(
            db,
            "monitor/record_tail",
            exchange=found.exchange,
            symbol=found.symbol,
            top=found.top,
            newest=found.newest,
            asked_at=found.asked_at,
            now=now or datetime.now(UTC),
        )
    )


def plan(db: "connection", bounds: Bounds, now: datetime | None = None) -> list[Work]:
    """What to fill in this run, a symbol each, oldest first.

    What is too large or too old stays open, and its detail names the history DAG.
    """
    now = now or datetime.now(UTC)
    chosen: dict[tuple[str, str], list[Any]] = {}
    for gap in rows(db, "monitor/open_gaps"):
        if refusal := _beyond(gap, bounds, now):
            rows(db, "monitor/describe_gap", gap_id=gap.gap_id, detail=refusal)
            continue
        gaps = chosen.setdefault((gap.exchange, gap.symbol), [])
        if len(gaps) < _GAPS_AT_ONCE:
            gaps.append(gap)
    return [_work(gaps) for gaps in list(chosen.values())[: bounds.symbols]]


def verify(db: "connection", max_attempts: int) -> list[Change]:
    """Judges every gap by coverage: verified, unfillable after so many attempts, or detected for the next run."""
    return [Change(*row) for row in rows(db, "monitor/verify_gaps", max_attempts=max_attempts)]


def seconds_to_fetch(exchange: str, ids: int, weight_share: float) -> float:
    """How long so many consecutive ids take over REST within that part of the weight."""
    adapter = adapter_of(exchange)
    request = adapter.trades_request("BTC-USDT", 0)
    if request is None:
        return 0.0
    weight = math.ceil(ids / adapter.TRADES_PER_PAGE) * request.weight
    return weight / (adapter.LIMITS.weight.count * weight_share) * adapter.LIMITS.weight.per_s


def label_of(exchange: str, symbol: str, gaps: Sequence[tuple[int, int]]) -> str:
    """As `binance:BTC-USDT 101-200 and 2 more`."""
    first, last = gaps[0]
    ids = str(first) if first == last else f"{first}-{last}"
    return f"{exchange}:{symbol} {ids}" + (f" and {len(gaps) - 1} more" if len(gaps) > 1 else "")


def _work(gaps: Sequence[Any]) -> Work:
    exchange, symbol = gaps[0].exchange, gaps[0].symbol
    label = label_of(exchange, symbol, [(gap.first_id, gap.last_id) for gap in gaps])
    return Work(exchange, symbol, [gap.gap_id for gap in gaps], sum(gap.missing for gap in gaps), label)


def _beyond(gap: Any, bounds: Bounds, now: datetime) -> str | None:
    """Why the monitor leaves a gap to the history DAG, and with which parameters; None where it does not."""
    if not EXCHANGES[gap.exchange].consecutive_ids:
        return None  # a few candles mend it, however old or large
    takes_s = seconds_to_fetch(gap.exchange, gap.missing, bounds.weight_share)
    if takes_s > bounds.minutes * 60:
        why = f"too large: {gap.missing:,} ids take about {takes_s / 60:,.0f} min, the monitor's bound is "
        why += f"{bounds.minutes:g} min"
    elif gap.window_from < now - bounds.max_age:
        why = f"too old: it began {gap.window_from:%Y-%m-%d %H:%M} UTC, the monitor's bound is "
        why += f"{bounds.max_age / timedelta(hours=1):g} h"
    else:
        return None
    return f"{why}. Trigger crypto_pipeline_history_dag with {history_params(gap)}"


def history_params(gap: Any) -> str:
    """The parameters, as JSON, with which the history DAG fetches a gap."""
    start, end = (f"{at.astimezone(UTC):%Y-%m-%dT%H:%M}" for at in (gap.window_from, gap.window_to))
    return json.dumps({"symbols": [f"{gap.exchange}:{gap.symbol}"], "from": start, "to": end, "what": "trades"})
