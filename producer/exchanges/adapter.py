"""What the adapter of an exchange is: its protocol as pure code, without sockets or clocks.

An adapter is a module of this package with the members of `Adapter`. Over WebSocket, frames go in and trades and
control events come out; over REST, requests come out and answers go in. An exchange's own spelling of a symbol
never leaves its adapter.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from importlib import import_module
from reprlib import Repr
from typing import Any, Protocol, cast

from producer.trade import Trade

_DECIMAL = re.compile(r"-?[0-9]{1,60}(?:\.[0-9]{1,60})?(?:[eE][+-]?[0-9]{1,2})?")
_DIGITS = re.compile(r"[0-9]{1,19}")
_COUNT = re.compile(r"[0-9]{1,9}")

# Python's own repr fails on what is nested deeper than its stack
_BRIEF = Repr()
_BRIEF.maxlevel, _BRIEF.maxdict, _BRIEF.maxlist = 3, 10, 5
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 150


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `per_s` seconds."""

    count: int
    per_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What the exchange allows; exceeding it risks a ban of our address.

    connects: new WebSocket connections of one address. messages: what we send on one connection.
    symbols_per_connection, symbols_per_message: of trade subscriptions. life_s: the age at which the exchange
    closes a connection. weight: REST weight of one address.
    """

    connects: Rate
    messages: Rate
    symbols_per_connection: int
    symbols_per_message: int
    life_s: float
    weight: Rate


@dataclass(frozen=True, slots=True)
class Request:
    """A REST call: what to ask, and what it costs of the weight."""

    path: str
    weight: int
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The exchange's word on a failed call, as `-1121 Invalid symbol.`; retryable if the same call may succeed."""

    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Candle:
    """One minute as the exchange publishes it. Optional fields are None where the exchange does not give them."""

    exchange: str
    symbol: str
    opened_at_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int | None = None
    taker_buy_volume: Decimal | None = None
    taker_buy_quote_volume: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest trade id that the exchange names for a symbol, and when that trade was, where it says so."""

    trade_id: int
    traded_at_us: int | None


@dataclass(frozen=True, slots=True)
class Ready:
    """The connection is open for subscriptions."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A subscription was taken, or a ping answered. Neither proves that data flows."""

    what: str


@dataclass(frozen=True, slots=True)
class ClosingSoon:
    """The server is about to close this connection: open the next one first."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The exchange refused this connection or what we asked on it: reconnect."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame that should be a trade and is none: counted, logged and left out."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame that this adapter does not know: counted and logged."""

    what: str


Event = Trade | Ready | Acknowledged | ClosingSoon | Refused | Rejected | Unknown


class Session(Protocol):
    """The protocol of one WebSocket connection.

    ping_interval_s: how often `ping` must be sent; None where the protocol's own pings suffice.
    """

    ping_interval_s: float | None

    def on_open(self) -> list[Event]:
        """What the opening of the socket means: `Ready` where the exchange greets with nothing."""

    def subscribe(self) -> list[str]:
        """The messages to send once `Ready`."""

    def ping(self) -> str:
        """The next ping message."""

    def read(self, frame: str | bytes, received_at_us: int) -> list[Event]:
        """What a frame says, in the order of the exchange. Never raises on a frame's content."""


class Adapter(Protocol):
    """One exchange.

    WS_URL, REST_URL, BULK_URL: its public addresses; WS_URL is None where the ticket names the address, BULK_URL
    where the exchange publishes no files.
    TRADES_PER_PAGE, CANDLES_PER_PAGE: how much one REST answer holds at most.
    """

    WS_URL: str | None
    REST_URL: str
    BULK_URL: str | None
    LIMITS: Limits
    TRADES_PER_PAGE: int
    CANDLES_PER_PAGE: int

    def ticket_request(self) -> Request | None:
        """The REST call that must come before each connect, or None."""

    def websocket_url(self, base_url: str | None, ticket: Any, symbols: Sequence[str], connect_id: str) -> str:
        """Where to connect for these symbols.

        base_url: `WS_URL` or what the user set instead. ticket: the answer to `ticket_request`. connect_id: any
        text, unique among our connections. Raises ValueError where the ticket is not understood.
        """

    def session(self, symbols: Sequence[str]) -> Session:
        """The protocol of a new connection that carries these symbols' trades."""

    def trades_request(self, symbol: str, first_id: int) -> Request | None:
        """A page of trades from an id upwards; None where the exchange cannot page by id."""

    def first_id_request(self, symbol: str, from_us: int) -> Request | None:
        """The call that names the first trade at or after a time; None where the exchange has no such call."""

    def read_first_id(self, symbol: str, answer: Any) -> int | None:
        """The id of that trade; None where there has been none since.

        Raises ValueError where the answer is not understood.
        """

    def recent_trades_request(self, symbol: str) -> Request:
        """The newest trades."""

    def read_trades(self, symbol: str, answer: Any, received_at_us: int) -> list[Trade]:
        """The trades of either answer, ids ascending. Raises ValueError where the answer is not understood."""

    def candles_request(self, symbol: str, from_us: int, until_us: int) -> Request:
        """1-minute candles that open in [from_us, until_us): at most CANDLES_PER_PAGE minutes."""

    def read_candles(self, symbol: str, answer: Any) -> list[Candle]:
        """The candles of the answer, oldest first, perhaps with one more at either end.

        Raises ValueError where the answer is not understood.
        """

    def trades_file(self, symbol: str, day: date) -> str | None:
        """The path of the file of a UTC day's trades below `BULK_URL`; None where there are no such files."""

    def read_trades_row(self, symbol: str, row: Sequence[str], received_at_us: int) -> Trade:
        """The trade of one row of such a file. Raises ValueError where it is not understood."""

    def candles_file(self, symbol: str, day: date) -> str | None:
        """The same as `trades_file` of 1-minute candles."""

    def read_candles_row(self, symbol: str, row: Sequence[str]) -> Candle:
        """The candle of one row of such a file. Raises ValueError where it is not understood."""

    def newest_request(self, symbols: Sequence[str]) -> Request | None:
        """One call that names the newest trade id of all these symbols, or None where there is no such call."""

    def read_newest(self, symbols: Sequence[str], answer: Any) -> dict[str, Newest]:
        """The newest trade of each of these symbols that the answer names.

        Raises ValueError where the answer is not understood.
        """

    def time_request(self) -> Request:
        """The call that tells the exchange's time."""

    def read_time(self, answer: Any) -> int:
        """It, in microseconds since 1970 UTC. Raises ValueError where the answer is not understood."""

    def read_refusal(self, status: int, answer: Any) -> Refusal | None:
        """What the exchange says against a call, from the HTTP status and the JSON body; None if it went well."""

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        """The weight used in the current window, as the answer's headers say; None where they do not."""

    def retry_after_s(self, headers: Mapping[str, str]) -> float | None:
        """How long a refused caller must wait, as the answer's headers say; None where they do not."""


def adapter_of(exchange: str) -> Adapter:
    """The adapter of a registered exchange."""
    return cast(Adapter, import_module(f"producer.exchanges.{exchange.replace('-', '_')}"))


def exact(text: Any) -> Decimal:
    """The decimal that a JSON string spells.

    Raises TypeError for a JSON number, which has been through a float; ValueError for anything else that is no
    decimal, also for one whose exponent would make it a gigabyte of zeros, and for what Python alone reads as a
    number (`1_0`, ` 1`, digits of other scripts).
    """
    if type(text) is not str:
        raise TypeError(f"no decimal string: {shown(text)}")
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"no decimal: {shown(text)}")
    return Decimal(text)


def whole(value: Any) -> int:
    """The integer that a JSON number is, or that the digits of a string spell. Raises TypeError for all else."""
    if type(value) is int:
        return value
    if type(value) is str and _DIGITS.fullmatch(value):
        return int(value)
    raise TypeError(f"no integer: {shown(value)}")


def counted(headers: Mapping[str, str], name: str) -> int | None:
    """The count that a header holds; None where it is not there, or holds anything else."""
    told = headers.get(name, "")
    return int(told) if _COUNT.fullmatch(told) else None


def shown(value: Any) -> str:
    """The beginning of what an exchange sent, for people: short however large it is or deep its JSON."""
    return (value if type(value) is str else _BRIEF.repr(value))[:200]
