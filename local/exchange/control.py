"""A client of the simulator's control interface, for tests and for people at a Python prompt."""

from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any

import httpx

from local.exchange.faults import Fault


class ControlRefused(Exception):
    """The simulator refused; the message is its reason."""


@dataclass(frozen=True, slots=True)
class TrueBar:
    """A true 1-minute bar of the market; names and meanings of the table trades_1min_agg."""

    window_start_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
    first_trade_id: int
    last_trade_id: int


@dataclass(frozen=True, slots=True)
class TrueTrade:
    """A true trade of the market. Price and quantity are 0 where it was voided."""

    trade_id: int
    traded_at_us: int
    price: Decimal
    quantity: Decimal
    taker_side: str


@dataclass(frozen=True, slots=True)
class SentRange:
    """Trades without one missing between them that went to at least one connection."""

    first_trade_id: int
    last_trade_id: int
    trades: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent of a symbol. faults: trade ids by what befell them, as `loss` or `duplicates`."""

    ranges: list[SentRange]
    faults: dict[str, list[int]]


class Control:
    """The simulator at an address, `http://127.0.0.1:8090`.

    All methods raise ControlRefused and httpx.HTTPError.
    """

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self._client = httpx.Client(base_url=f"{url}/_control", timeout=timeout_s)

    def __enter__(self) -> "Control":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def inject(self, fault: Fault) -> int | None:
        """Orders a fault (see `faults`); its number, None where it was done at once."""
        number: int | None = self._call("POST", "/faults", json=fault.model_dump(exclude_none=True))["number"]
        return number

    def faults(self) -> list[dict[str, Any]]:
        """The active faults, with what is left of each."""
        found: list[dict[str, Any]] = self._call("GET", "/faults")
        return found

    def end_faults(self, number: int | None = None) -> None:
        """Ends one fault, or all of them."""
        self._call("DELETE", "/faults" if number is None else f"/faults/{number}")

    def change_rate(self, exchange: str, symbol: str, rate: float) -> None:
        """From now on a symbol trades at another rate, in trades a second."""
        self._call("POST", "/rate", json={"exchange": exchange, "symbol": symbol, "rate": rate})

    def status(self) -> dict[str, Any]:
        """The time, the replay, the connections, and how many trades were lost on the wire."""
        found: dict[str, Any] = self._call("GET", "/status")
        return found

    def sent(self, exchange: str, symbol: str) -> Sent:
        """What was sent of a symbol since the simulator started."""
        told = self._call("GET", "/sent", params={"exchange": exchange, "symbol": symbol})
        return Sent([SentRange(**found) for found in told["ranges"]], told["faults"])

    def true_bars(
        self, exchange: str, symbol: str, from_us: int = 0, until_us: int | None = None
    ) -> list[TrueBar]:
        """The bars of minutes with a trade that start in [from_us, until_us), oldest first.

        The last one may be open.
        """
        told = self._truth(exchange, symbol, from_us, until_us, trades=False)
        return [_bar(bar) for bar in told["bars"]]

    def true_trades(
        self, exchange: str, symbol: str, from_us: int = 0, until_us: int | None = None
    ) -> list[TrueTrade]:
        """The trades dated in [from_us, until_us), oldest first."""
        told = self._truth(exchange, symbol, from_us, until_us, trades=True)
        return [
            TrueTrade(trade_id, at_us, Decimal(price), Decimal(quantity), side)
            for trade_id, at_us, price, quantity, side in told["trades"]
        ]

    def _truth(self, exchange: str, symbol: str, from_us: int, until_us: int | None, trades: bool) -> Any:
        params: dict[str, str | int] = {"exchange": exchange, "symbol": symbol, "from_us": from_us}
        if until_us is not None:
            params["until_us"] = until_us
        return self._call("GET", "/truth", params=params | {"trades": int(trades)})

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._client.request(method, path, **arguments)
        if answer.status_code == httpx.codes.BAD_REQUEST:
            raise ControlRefused(f"{method} {path}: {answer.json()['error']}")
        return answer.raise_for_status().json()


def _bar(told: dict[str, Any]) -> TrueBar:
    fields: dict[str, Any] = {
        name: Decimal(value) if isinstance(value, str) else value for name, value in told.items()
    }
    return TrueBar(**fields)
