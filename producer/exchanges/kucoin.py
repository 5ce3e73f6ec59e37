"""KuCoin Spot: matches over WebSocket, the last 100 trades and candles over REST.

https://www.kucoin.com/docs-new/websocket-api/base-info/introduction and …/rest/spot-trading/market-data.
A trade's id is its `sequence`, which grows with steps: ids alone cannot show that none is missing, so each trade
attests instead what came just before it on the same connection, or on the same REST page.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import count
from typing import Any

import orjson

from producer.exchanges.adapter import (
    Acknowledged,
    Candle,
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
from producer.trade import MAX_ATTESTED, Trade

WS_URL: str | None = None
REST_URL = "https://api.kucoin.com"
BULK_URL: str | None = None
LIMITS = Limits(
    connects=Rate(30, 60),
    messages=Rate(100, 10),
    symbols_per_connection=300,  # now 400, formerly 300 topics
    symbols_per_message=100,
    life_s=24 * 3600,  # of the token, and with it of the connection
    weight=Rate(2000, 30),
)
TRADES_PER_PAGE = 100
CANDLES_PER_PAGE = 1500

_MATCHES = "/market/match:"
_GOOD = "200000"
_WS_URL = re.compile(r"wss?://[!-~]{1,5000}")


class KucoinSession:
    """A connection: welcomed, subscribed by topic strings, pinged by us, and remembering each symbol's last id."""

    def __init__(self, symbols: Sequence[str]) -> None:
        # half the 18 s of the documents, so that one lost ping costs no connection
        self.ping_interval_s: float | None = 9.0
        self._last_ids: dict[str, int | None] = dict.fromkeys(symbols)
        self._request_ids = count(1)

    def on_open(self) -> list[Event]:
        return []  # the welcome says when

    def subscribe(self) -> list[str]:
        symbols, size = list(self._last_ids), LIMITS.symbols_per_message
        return [
            orjson.dumps(
                {
                    "id": next(self._request_ids),
                    "type": "subscribe",
                    "topic": _MATCHES + ",".join(symbols[start : start + size]),
                    "privateChannel": False,
                    "response": True,
                }
            ).decode()
            for start in range(0, len(symbols), size)
        ]

    def ping(self) -> str:
        return f'{{"id":"{next(self._request_ids)}","type":"ping"}}'

    def read(self, frame: str | bytes, received_at_us: int) -> list[Event]:
        try:
            message = orjson.loads(frame)
            kind = message.get("type")
        except (orjson.JSONDecodeError, AttributeError):
            self._attest_nothing(self._last_ids)
            return [Rejected(f"kucoin: not a JSON object: {frame[:200]!r}")]
        if kind == "message" and message.get("subject") == "trade.l3match":
            try:
                return [self._trade(message["data"], received_at_us)]
            except (KeyError, TypeError, ValueError) as error:
                symbol = shown(message.get("topic")).removeprefix(_MATCHES)
                self._attest_nothing([symbol] if symbol in self._last_ids else self._last_ids)
                return [Rejected(f"kucoin: not a trade ({shown(error)}): {frame[:300]!r}")]
        if kind == "welcome":
            return [Ready()]
        if kind in ("ack", "pong"):
            return [Acknowledged(kind)]
        if kind == "error":
            return [Refused(f"kucoin: {shown(message.get('code'))} {shown(message.get('data'))}")]
        return [Unknown(f"kucoin: {shown(message)}")]

    def _attest_nothing(self, symbols: Iterable[str]) -> None:
        """A frame that was not understood may have held a trade of these: none is attested to follow the last."""
        self._last_ids.update(dict.fromkeys(symbols))

    def _trade(self, data: dict[str, Any], received_at_us: int) -> Trade:
        symbol = data["symbol"]
        last_id = self._last_ids[symbol]
        trade = _trade(symbol, data, last_id, received_at_us, "ws")
        if last_id is None or trade.trade_id > last_id:
            self._last_ids[symbol] = trade.trade_id
        return trade


def ticket_request() -> Request | None:
    return Request("/api/v1/bullet-public", 10, method="POST")


def websocket_url(base_url: str | None, ticket: Any, symbols: Sequence[str], connect_id: str) -> str:
    try:
        token, endpoint = ticket["data"]["token"], ticket["data"]["instanceServers"][0]["endpoint"]
        url = _WS_URL.fullmatch(f"{base_url or endpoint}?token={token}&connectId={connect_id}")
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"kucoin: token not understood ({shown(error)}): {shown(ticket)}") from error
    if url is None or type(token) is not str:
        raise ValueError(f"kucoin: token not understood (no WebSocket address): {shown(ticket)}")
    return url[0]


def session(symbols: Sequence[str]) -> Session:
    return KucoinSession(symbols)


def trades_request(symbol: str, first_id: int) -> Request | None:
    return None


def first_id_request(symbol: str, from_us: int) -> Request | None:
    return None


def read_first_id(symbol: str, answer: Any) -> int | None:
    raise NotImplementedError("kucoin has no call that finds a trade by its time")


def recent_trades_request(symbol: str) -> Request:
    return Request("/api/v1/market/histories", 3, {"symbol": symbol})


def read_trades(symbol: str, answer: Any, received_at_us: int) -> list[Trade]:
    trades: list[Trade] = []
    try:
        for row in sorted(answer["data"], key=lambda row: whole(row["sequence"])):
            last_id = trades[-1].trade_id if trades else None
            trades.append(_trade(symbol, row, last_id, received_at_us, "rest"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"kucoin {symbol}: trades not understood ({shown(error)}): {shown(answer)}") from error
    return trades


def candles_request(symbol: str, from_us: int, until_us: int) -> Request:
    # the documents leave open whether endAt belongs to the range: ask up to it, the caller drops what is too much
    params: dict[str, str | int] = {
        "symbol": symbol,
        "type": "1min",
        "startAt": from_us // 1_000_000,
        "endAt": until_us // 1_000_000,
    }
    return Request("/api/v1/market/candles", 3, params)


def read_candles(symbol: str, answer: Any) -> list[Candle]:
    try:
        return [
            Candle(
                "kucoin",
                symbol,
                whole(opened_at_s) * 1_000_000,
                open=exact(open_),
                high=exact(high),
                low=exact(low),
                close=exact(close),
                volume=exact(volume),
                quote_volume=exact(turnover),
            )
            for opened_at_s, open_, close, high, low, volume, turnover in reversed(answer["data"])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"kucoin {symbol}: candles not understood ({shown(error)}): {shown(answer)}") from error


def trades_file(symbol: str, day: date) -> str | None:
    return None


def read_trades_row(symbol: str, row: Sequence[str], received_at_us: int) -> Trade:
    raise NotImplementedError("kucoin publishes no files")


def candles_file(symbol: str, day: date) -> str | None:
    return None


def read_candles_row(symbol: str, row: Sequence[str]) -> Candle:
    raise NotImplementedError("kucoin publishes no files")


def newest_request(symbols: Sequence[str]) -> Request | None:
    return None


def read_newest(symbols: Sequence[str], answer: Any) -> dict[str, Newest]:
    raise NotImplementedError("kucoin has no call that names the newest trade ids")


def time_request() -> Request:
    return Request("/api/v1/timestamp", 3)


def read_time(answer: Any) -> int:
    try:
        return whole(answer["data"]) * 1000
    except (KeyError, TypeError) as error:
        raise ValueError(f"kucoin: time not understood ({shown(error)}): {shown(answer)}") from error


def read_refusal(status: int, answer: Any) -> Refusal | None:
    code = answer.get("code") if isinstance(answer, dict) else None
    if status < 400 and code == _GOOD:
        return None
    reason = f"{shown(code)} {shown(answer.get('msg', ''))}" if code else f"HTTP {status}"
    return Refusal(reason, retryable=code == "429000" or status in (408, 429) or status >= 500)


def used_weight(headers: Mapping[str, str]) -> int | None:
    limit, remaining = counted(headers, "gw-ratelimit-limit"), counted(headers, "gw-ratelimit-remaining")
    return None if limit is None or remaining is None else limit - remaining


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    # told with every answer, and of meaning only to a refused caller: milliseconds until the window ends
    told = counted(headers, "gw-ratelimit-reset")
    return None if told is None else told / 1000


def _trade(symbol: str, row: dict[str, Any], last_id: int | None, received_at_us: int, source: Any) -> Trade:
    trade_id = whole(row["sequence"])
    if row["side"] not in ("buy", "sell"):
        raise ValueError(f"side is neither buy nor sell: {shown(row['side'])}")
    attested = last_id is not None and trade_id - MAX_ATTESTED <= last_id < trade_id
    return Trade(
        "kucoin",
        symbol,
        trade_id,
        last_id if attested else None,
        exact(row["price"]),
        exact(row["size"]),
        row["side"],
        whole(row["time"]) // 1000,  # nanoseconds, a string over WebSocket and a number over REST
        received_at_us,
        source,
    )
