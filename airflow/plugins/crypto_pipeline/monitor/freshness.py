"""Each symbol against the exchange's own newest trade: fresh, quiet, halted, stalled, or never delivered.

Ids tell a quiet market from a stalled feed, clocks cannot: if the exchange's newest id is ours, nothing is
missing, however long ago it was. That is also written down (`confirm`), since it proves the newest minutes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from crypto_pipeline.statements import rows
from producer.exchanges.adapter import Newest

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# A market is halted, rather than quiet, after that many of its usual intervals without a trade: by chance alone it
# would not happen in the age of the universe.
_UNUSUAL_INTERVALS = 50
_LOOK_EVERY_S = 2.0


class State(StrEnum):
    """What a symbol's feed is."""

    FRESH = "fresh"  # trades newer than those asked for have come
    QUIET = "quiet"  # the exchange's newest trade is ours
    HALTED = "halted"  # so it is, and for unusually long
    STALLED = "stalled"  # the exchange has traded, and nothing came
    NEVER_DELIVERED = "never delivered"  # the same, of a symbol of which nothing has ever come
    UNHEARD = "unheard"  # nothing has ever come, and the exchange has not traded while we watched


@dataclass(frozen=True, slots=True)
class Freshness:
    """A symbol's state. newest: the exchange's id at `asked_at`; top: ours after the wait, None without any.

    traded_at: when our newest trade was.
    """

    exchange: str
    symbol: str
    state: State
    newest: int
    top: int | None
    asked_at: datetime
    traded_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """As it goes from one task to another."""
        return {
            **asdict(self),
            "asked_at": self.asked_at.isoformat(),
            "traded_at": self.traded_at and self.traded_at.isoformat(),
        }

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "Freshness":
        """The inverse of `as_json`."""
        times = {name: fields[name] and datetime.fromisoformat(fields[name]) for name in ("asked_at", "traded_at")}
        return Freshness(**{**fields, **times, "state": State(fields["state"])})


class Past(Protocol):
    """What is needed of `producer.history.History`."""

    def newest(self, symbols: Sequence[str]) -> dict[str, Newest]: ...

    def now_us(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Top:
    """The highest id seen of a symbol, and when its newest trade was."""

    trade_id: int
    traded_at: datetime | None


def check(
    db: "connection",
    exchange: str,
    symbols: Sequence[str],
    past: Past,
    caught_up: Callable[[], bool],
    *,
    grace_s: float,
    first_grace_s: float,
    confirm_margin_s: float,
    halt_after_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Freshness] | None:
    """The state of each symbol that the exchange has traded; None where the job fell behind meanwhile.

    caught_up: waits until the job has passed the ends of the topic as they are now; False if it does not in time.
    grace_s: how long a trade that the exchange had may take to arrive; first_grace_s: how long a first one, of a
    feed that may only be starting. confirm_margin_s: how much older than its answer the exchange's knowledge may
    be: REST may lag behind the stream. halt_after_s: a shorter silence is quiet. Raises HistoryError.
    """
    asked_at, asked_s = datetime.now(UTC), time.monotonic()
    # its trades carry its own time: by another clock, minutes in which it may still trade would be called over
    exchange_time = datetime.fromtimestamp(past.now_us() / 1e6, UTC)
    newest = past.newest(symbols)
    while True:
        if not caught_up():
            return None
        tops = read_tops(db, exchange)
        late = [
            symbol for symbol in newest if symbol not in tops or tops[symbol].trade_id < newest[symbol].trade_id
        ]
        left_s = asked_s + grace_s - time.monotonic()
        if not late or left_s <= 0:
            break
        sleep(min(_LOOK_EVERY_S, left_s))
    # a symbol without any trade here may not have traded since it was enabled: it has if its id grows now
    grown = _grown(past, [symbol for symbol in late if symbol not in tops], newest)
    while grown - tops.keys() and (left_s := asked_s + first_grace_s - time.monotonic()) > 0:
        sleep(min(_LOOK_EVERY_S, left_s))
        if not caught_up():
            return None
        tops = read_tops(db, exchange)
    for symbol, found in newest.items():
        if symbol in tops and tops[symbol].trade_id == found.trade_id:
            rows(
                db, "monitor/confirm", exchange=exchange, symbol=symbol, newest=found.trade_id,
                at=exchange_time - timedelta(seconds=confirm_margin_s),
            )  # fmt: skip
    halted = _halted(db, exchange, tops, newest, asked_at, halt_after_s)
    return [
        Freshness(
            exchange, symbol, _state(symbol, found.trade_id, tops, grown, halted), found.trade_id,
            tops[symbol].trade_id if symbol in tops else None, asked_at,
            tops[symbol].traded_at if symbol in tops else None,
        )
        for symbol, found in sorted(newest.items())
    ]  # fmt: skip


def read_tops(db: "connection", exchange: str) -> dict[str, Top]:
    """The top of each symbol of an exchange that has ever delivered."""
    return {row.symbol: Top(row.top, row.traded_at) for row in rows(db, "monitor/tops", exchange=exchange)}


def _state(symbol: str, newest: int, tops: Mapping[str, Top], grown: set[str], halted: set[str]) -> State:
    if symbol not in tops:
        return State.NEVER_DELIVERED if symbol in grown else State.UNHEARD
    if tops[symbol].trade_id > newest:
        return State.FRESH
    if tops[symbol].trade_id < newest:
        return State.STALLED
    return State.HALTED if symbol in halted else State.QUIET


def _grown(past: Past, symbols: Sequence[str], newest: Mapping[str, Newest]) -> set[str]:
    later = past.newest(symbols) if symbols else {}
    return {symbol for symbol, found in later.items() if found.trade_id > newest[symbol].trade_id}


def _halted(
    db: "connection",
    exchange: str,
    tops: Mapping[str, Top],
    newest: Mapping[str, Newest],
    asked_at: datetime,
    halt_after_s: float,
) -> set[str]:
    """Symbols whose newest trade is unusually long ago, while others trade."""
    silences_s = {
        symbol: (asked_at - top.traded_at).total_seconds()
        for symbol, top in tops.items()
        if symbol in newest and top.trade_id == newest[symbol].trade_id and top.traded_at is not None
    }
    long = [symbol for symbol, silence_s in silences_s.items() if silence_s > halt_after_s]
    if not long or len(long) == len(newest):
        return set()
    usual = rows(db, "monitor/usual_intervals", exchange=exchange, symbols=long)
    return {row.symbol for row in usual if silences_s[row.symbol] > _UNUSUAL_INTERVALS * float(row.interval_s)}
