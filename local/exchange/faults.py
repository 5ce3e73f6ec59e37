"""The faults that can be ordered while the simulator runs: what each is, and which are active.

A fault ends by itself: after `count` (of trades, requests or connects, as its kind says), or after `duration_s`.
exchange, and where a kind has them symbols (canonical) and connection (a number from /_control/status), narrow it
down; empty means all.
"""

import itertools
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator


class Fault(BaseModel):
    """What all kinds have in common."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    exchange: Literal["binance", "kucoin"] | None = None
    count: int | None = Field(default=None, gt=0)
    duration_s: float | None = Field(default=None, gt=0)


class _OfSymbols(Fault):
    symbols: list[str] = []


class _OfConnection(Fault):
    connection: int | None = None


class _Lasting(Fault):
    @model_validator(mode="after")
    def _ends(self) -> "_Lasting":
        if self.count is None and self.duration_s is None:
            raise ValueError("count or duration_s is needed, so that the fault ends")
        return self


class _Timed(Fault):
    duration_s: float | None = Field(gt=0)
    count: None = None


class Disconnect(_OfConnection):
    """Closes `count` connections (default all), without a close frame where code is None. Done at once."""

    kind: Literal["disconnect"] = "disconnect"
    code: int | None = None


class ServerShutdown(Fault):
    """Binance announces its shutdown on all connections, and closes those still open after close_after_s."""

    kind: Literal["server_shutdown"] = "server_shutdown"
    close_after_s: float = Field(default=10.0, ge=0)


class Refuse(_Lasting):
    """New WebSocket connections are refused with 503."""

    kind: Literal["refuse"] = "refuse"


class Loss(_Lasting, _OfSymbols):
    """Trades that exist but are not sent over WebSocket."""

    kind: Literal["loss"] = "loss"


class Duplicates(_Lasting, _OfSymbols):
    """Trades are sent twice."""

    kind: Literal["duplicates"] = "duplicates"


class Disorder(_Lasting, _OfSymbols):
    """Trades are held back and sent in reverse order, `group` at a time."""

    kind: Literal["disorder"] = "disorder"
    group: int = Field(default=10, gt=1)


class Malformed(_Lasting, _OfSymbols):
    """Instead of a trade its frame comes broken; with the type of a field wrong, or a field missing, or binary."""

    kind: Literal["malformed"] = "malformed"
    how: Literal["truncated", "wrong_type", "missing_field", "binary"] = "truncated"


class FutureDates(_Lasting, _OfSymbols):
    """Trades are sent with a time that lies ahead_s too far ahead. REST tells the true one."""

    kind: Literal["future_dates"] = "future_dates"
    ahead_s: float = Field(default=3600.0, gt=0)


class WrongClock(_Timed):
    """The exchange's clock is ahead_s ahead (below 0: behind), and with it the dates of trades and candles.

    Its time never goes back: a clock that is set back stands until it is right. What trades the time that it leaps
    over has come at once.
    """

    kind: Literal["wrong_clock"] = "wrong_clock"
    ahead_s: float


class Stall(_Timed, _OfSymbols, _OfConnection):
    """Connections stay open and pings are answered, but no data comes: what happens meanwhile is not sent."""

    kind: Literal["stall"] = "stall"


class Slow(_Timed, _OfConnection):
    """Data comes `delay_s` late."""

    kind: Literal["slow"] = "slow"
    delay_s: float = Field(default=5.0, gt=0)


class Halt(_Timed, _OfSymbols):
    """No trade happens at all: a gap in time without one in the ids. `symbols` is needed."""

    kind: Literal["halt"] = "halt"
    symbols: list[str] = Field(min_length=1)


class NoPong(_Timed, _OfConnection):
    """KuCoin does not answer the client's pings."""

    kind: Literal["no_pong"] = "no_pong"


class NoPing(_Timed, _OfConnection):
    """Binance sends no pings."""

    kind: Literal["no_ping"] = "no_ping"


class TokenExpired(Fault):
    """All KuCoin tokens given out so far expire, and the next `count` that will be given out as well."""

    kind: Literal["token_expired"] = "token_expired"


class RestError(_Lasting):
    """REST answers with a status: 429 and 418 with Retry-After, 403, or a 5xx.

    path: only requests whose path contains it.
    """

    kind: Literal["rest_error"] = "rest_error"
    status: int = Field(default=500, ge=400, le=599)
    retry_after_s: int | None = Field(default=None, ge=0)
    path: str = ""


class RestTimeout(_Lasting):
    """REST answers only after delay_s, or hangs up then without an answer."""

    kind: Literal["rest_timeout"] = "rest_timeout"
    delay_s: float = Field(default=30.0, gt=0)
    answers: bool = False
    path: str = ""


class RestLag(_Timed, _OfSymbols):
    """REST does not know the newest `trades` trades of a symbol yet."""

    kind: Literal["rest_lag"] = "rest_lag"
    trades: int = Field(gt=0)


AnyFault = Annotated[
    Disconnect | ServerShutdown | Refuse | Loss | Duplicates | Disorder | Malformed | FutureDates | WrongClock
    | Stall | Slow | Halt | NoPong | NoPing | TokenExpired | RestError | RestTimeout | RestLag,
    Field(discriminator="kind"),
]  # fmt: skip
FAULT: TypeAdapter[AnyFault] = TypeAdapter(AnyFault)


def symbols_of(fault: Fault) -> list[str]:
    """The symbols that a fault names; none where it is for all."""
    return fault.symbols if isinstance(fault, _OfSymbols) else []


def concerns_symbol(fault: Fault, symbol: str) -> bool:
    """Whether a fault is for a symbol."""
    return symbol in symbols_of(fault) or not symbols_of(fault)


def concerns_connection(fault: Fault, number: int) -> bool:
    """Whether a fault is for a connection."""
    return not isinstance(fault, _OfConnection) or fault.connection in (None, number)


class ActiveFault:
    """A fault that was ordered, and how much of it is left."""

    def __init__(self, number: int, fault: Fault, now_s: float) -> None:
        self.number = number
        self.fault = fault
        self.left = fault.count
        self.ends_at_s = None if fault.duration_s is None else now_s + fault.duration_s

    def as_json(self, now_s: float) -> dict[str, Any]:
        """Its number, its description and what is left of it."""
        left_s = None if self.ends_at_s is None else round(self.ends_at_s - now_s, 3)
        return {"number": self.number, **self.fault.model_dump(), "left": self.left, "left_s": left_s}


class Faults:
    """The active faults."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._numbers = itertools.count(1)
        self._active: list[ActiveFault] = []

    def add(self, fault: Fault) -> ActiveFault:
        """A fault becomes active."""
        active = ActiveFault(next(self._numbers), fault, self._now_s())
        self._active.append(active)
        return active

    def remove(self, number: int | None = None) -> list[ActiveFault]:
        """Ends one fault, or all; returns those that ended."""
        ended = [a for a in self._active if number in (None, a.number)]
        self._active = [a for a in self._active if a not in ended]
        return ended

    def active(self) -> list[ActiveFault]:
        """Those that have not ended."""
        now_s = self._now_s()
        self._active = [a for a in self._active if a.left != 0 and (a.ends_at_s is None or a.ends_at_s > now_s)]
        return self._active

    def find(
        self, *kinds: type[Fault], exchange: str, symbol: str | None = None, connection: int | None = None
    ) -> list[ActiveFault]:
        """Active faults of these kinds that concern an exchange and, where given, a symbol and a connection."""
        return [
            a
            for a in self.active()
            if isinstance(a.fault, kinds)
            and a.fault.exchange in (None, exchange)
            and (symbol is None or concerns_symbol(a.fault, symbol))
            and (connection is None or concerns_connection(a.fault, connection))
        ]

    def clock_error_us(self, exchange: str) -> int:
        """By how much an exchange's clock is ahead."""
        wrong = (active.fault for active in self.find(WrongClock, exchange=exchange))
        return int(sum(fault.ahead_s for fault in wrong if isinstance(fault, WrongClock)) * 1e6)

    def use(self, *kinds: type[Fault], exchange: str, symbol: str | None = None) -> ActiveFault | None:
        """The first such fault, with one less of its count left."""
        for active in self.find(*kinds, exchange=exchange, symbol=symbol):
            if active.left is not None:
                active.left -= 1
            return active
        return None

    def listing(self) -> list[dict[str, Any]]:
        """All active faults for a reader."""
        now_s = self._now_s()
        return [a.as_json(now_s) for a in self.active()]
