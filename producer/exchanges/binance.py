"""Binance Spot: combined trade streams, and trades by id and klines over REST.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and …/rest-api. Trade ids of a symbol
are consecutive: so they were in every recording checked, though the docs do not promise it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import orjson

from producer.exchanges.adapter import (
    Acknowledged,
    Candle,
    ClosingSoon,
    Event,
    Limits,
    Newest,
    Rate,
    Ready,
    Refusal,
    Refused,
    Rejected,
    Request,
    Session,
    Unknown,
    counted,
    exact,
    shown,
    whole,
)
from producer.trade import Trade

WS_URL: str | None = "wss://stream.binance.com:9443"
REST_URL = "https://api.binance.com"
BULK_URL: str | None = "https://data.binance.vision"
LIMITS = Limits(
    connects=Rate(300, 300),
    messages=Rate(5, 1),
    # The exchange allows 1024. All streams are named in the URL, which costs no message; 200 keep it near 4 kB,
    # and keep what one lost connection has to heal small.
    symbols_per_connection=200,
    symbols_per_message=200,
    life_s=24 * 3600,
    weight=Rate(6000, 60),
)
TRADES_PER_PAGE = 1000
CANDLES_PER_PAGE = 1000

_MICROSECONDS = {"X-MBX-TIME-UNIT": "MICROSECOND"}
_BOOLEANS = {"true": True, "false": False}


class BinanceSession:
    """A connection whose streams its URL names: nothing is sent on it but pongs."""

    ping_interval_s: float | None = None

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = {_native(symbol): symbol for symbol in symbols}

    def on_open(self) -> list[Event]:
        return [Ready()]

    def subscribe(self) -> list[str]:
        return []

    def ping(self) -> str:
        raise NotImplementedError("the server pings, the client does not")

    def read(self, frame: str | bytes, received_at_us: int) -> list[Event]:
        try:
            message = orjson.loads(frame)
            data = message.get("data", message)
            kind = data.get("e")
        except (orjson.JSONDecodeError, AttributeError):
            return [Rejected(f"binance: not a JSON object: {frame[:200]!r}")]
        if kind == "trade":
            try:
                return [self._trade(data, received_at_us)]
            except (KeyError, TypeError, ValueError) as error:
                return [Rejected(f"binance: not a trade ({shown(error)}): {frame[:300]!r}")]
        return [_control(message, kind)]

    def _trade(self, data: dict[str, Any], received_at_us: int) -> Trade:
        return Trade(
            "binance",
            self._symbols[data["s"]],
            trade_id := _id(data["t"]),
            trade_id - 1 if trade_id else None,
            exact(data["p"]),
            exact(data["q"]),
            _taker_side(data["m"]),
            _us(data["T"]),
            received_at_us,
            "ws",
        )


def ticket_request() -> Request | None:
    return None


def websocket_url(base_url: str | None, ticket: Any, symbols: Sequence[str], connect_id: str) -> str:
    streams = "/".join(f"{_native(symbol).lower()}@trade" for symbol in symbols)
    return f"{(base_url or WS_URL or '').rstrip('/')}/stream?streams={streams}&timeUnit=MICROSECOND"


def session(symbols: Sequence[str]) -> Session:
    return BinanceSession(symbols)


def trades_request(symbol: str, first_id: int) -> Request | None:
    params: dict[str, str | int] = {"symbol": _native(symbol), "fromId": first_id, "limit": TRADES_PER_PAGE}
    return Request("/api/v3/historicalTrades", 25, params, _MICROSECONDS)


def first_id_request(symbol: str, from_us: int) -> Request | None:
    # the oldest aggregates from there on; more than one, since the exchange voids aggregates by an id of -1
    params: dict[str, str | int] = {"symbol": _native(symbol), "startTime": from_us // 1000, "limit": 100}
    return Request("/api/v3/aggTrades", 4, params)


def read_first_id(symbol: str, answer: Any) -> int | None:
    try:
        return next((first_id for row in answer if (first_id := _id(row["f"])) >= 0), None)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"binance {symbol}: aggregates not understood ({shown(error)}): {shown(answer)}"
        ) from error


def recent_trades_request(symbol: str) -> Request:
    params: dict[str, str | int] = {"symbol": _native(symbol), "limit": TRADES_PER_PAGE}
    return Request("/api/v3/trades", 25, params, _MICROSECONDS)


def read_trades(symbol: str, answer: Any, received_at_us: int) -> list[Trade]:
    try:
        return [
            Trade(
                "binance",
                symbol,
                trade_id := _id(row["id"]),
                trade_id - 1 if trade_id else None,
                exact(row["price"]),
                exact(row["qty"]),
                _taker_side(row["isBuyerMaker"]),
                _us(row["time"]),
                received_at_us,
                "rest",
            )
            for row in sorted(answer, key=lambda row: row["id"])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"binance {symbol}: trades not understood ({shown(error)}): {shown(answer)}") from error


def candles_request(symbol: str, from_us: int, until_us: int) -> Request:
    params: dict[str, str | int] = {
        "symbol": _native(symbol),
        "interval": "1m",
        "startTime": from_us // 1000,
        "endTime": until_us // 1000 - 1,  # both ends are inclusive
        "limit": CANDLES_PER_PAGE,
    }
    return Request("/api/v3/klines", 2, params)


def read_candles(symbol: str, answer: Any) -> list[Candle]:
    try:
        return [
            Candle(
                "binance",
                symbol,
                _us(row[0]),
                open=exact(row[1]),
                high=exact(row[2]),
                low=exact(row[3]),
                close=exact(row[4]),
                volume=exact(row[5]),
                quote_volume=exact(row[7]),
                trade_count=_id(row[8]),
                taker_buy_volume=exact(row[9]),
                taker_buy_quote_volume=exact(row[10]),
            )
            for row in answer
        ]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"binance {symbol}: klines not understood ({shown(error)}): {shown(answer)}") from error


def trades_file(symbol: str, day: date) -> str | None:
    return f"/data/spot/daily/trades/{_native(symbol)}/{_native(symbol)}-trades-{day}.zip"


def read_trades_row(symbol: str, row: Sequence[str], received_at_us: int) -> Trade:
    try:
        trade_id_text, price, quantity, _, time, buyer_is_maker, *_ = row
        return Trade(
            "binance",
            symbol,
            trade_id := whole(trade_id_text),
            trade_id - 1 if trade_id else None,
            exact(price),
            exact(quantity),
            _taker_side(_BOOLEANS[buyer_is_maker.lower()]),
            _us(whole(time)),
            received_at_us,
            "rest",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"binance {symbol}: row of trades not understood ({shown(error)}): {shown(list(row))}"
        ) from error


def candles_file(symbol: str, day: date) -> str | None:
    return f"/data/spot/daily/klines/{_native(symbol)}/1m/{_native(symbol)}-1m-{day}.zip"


def read_candles_row(symbol: str, row: Sequence[str]) -> Candle:
    try:
        # the fields of the REST answer, there with the time and the count as numbers
        fields = [whole(field) if place in (0, 8) else field for place, field in enumerate(row)]
    except TypeError as error:
        raise ValueError(
            f"binance {symbol}: row of klines not understood ({shown(error)}): {shown(list(row))}"
        ) from error
    return read_candles(symbol, [fields])[0]


def newest_request(symbols: Sequence[str]) -> Request | None:
    if len(symbols) == 1:
        return Request("/api/v3/ticker/24hr", 2, {"symbol": _native(symbols[0])})
    return Request("/api/v3/ticker/24hr", 80)  # all symbols of the exchange, cheaper than 40 single calls


def read_newest(symbols: Sequence[str], answer: Any) -> dict[str, Newest]:
    rows: Iterable[Any] = [answer] if isinstance(answer, dict) else answer
    try:
        last_ids = {row["symbol"]: _id(row["lastId"]) for row in rows}
    except (KeyError, TypeError) as error:
        raise ValueError(f"binance: tickers not understood ({shown(error)}): {shown(answer)}") from error
    found = {symbol: last_ids.get(_native(symbol), -1) for symbol in symbols}
    return {symbol: Newest(last_id, None) for symbol, last_id in found.items() if last_id >= 0}


def time_request() -> Request:
    return Request("/api/v3/time", 1)


def read_time(answer: Any) -> int:
    try:
        return _us(answer["serverTime"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"binance: time not understood ({shown(error)}): {shown(answer)}") from error


def read_refusal(status: int, answer: Any) -> Refusal | None:
    if status < 400:
        return None
    told = isinstance(answer, dict) and "code" in answer
    reason = f"{shown(answer['code'])} {shown(answer.get('msg', ''))}" if told else f"HTTP {status}"
    return Refusal(reason, retryable=status in (408, 418, 429) or status >= 500)


def used_weight(headers: Mapping[str, str]) -> int | None:
    return counted(headers, "x-mbx-used-weight-1m")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    return counted(headers, "retry-after")


def _native(symbol: str) -> str:
    return symbol.replace("-", "")


def _control(message: dict[str, Any], kind: Any) -> Event:
    if kind == "serverShutdown" or message.get("stream") == "!serverShutdown":
        return ClosingSoon()
    if "result" in message:
        return Acknowledged(f"request {shown(message.get('id'))}")
    if "code" in message or "error" in message:
        return Refused(f"binance: {shown(message)}")
    return Unknown(f"binance: {shown(message)}")


def _taker_side(buyer_is_maker: Any) -> Any:
    if not isinstance(buyer_is_maker, bool):
        raise TypeError(f"buyer-is-maker is no boolean: {shown(buyer_is_maker)}")
    return "sell" if buyer_is_maker else "buy"


def _id(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"no integer: {shown(value)}")
    return value


def _us(time: Any) -> int:
    # Microseconds are asked for; a server that does not know how to give them answers in milliseconds, which
    # have 13 digits until the year 2286.
    return _id(time) * 1000 if time < 100_000_000_000_000 else _id(time)
