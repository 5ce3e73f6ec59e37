"""Binance Spot's REST server: market data, weights, errors.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints and …/rest-api/limits.
"""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local.exchange.backend import Backend, address_of
from local.exchange.binance_frames import kline_row, symbol_info, ticker, trade_rows
from local.exchange.limits import WeightWindow
from local.exchange.market import SymbolMarket
from local.exchange.synthetic import BLOCK

_DAY_US = 86_400_000_000
_MICROSECONDS_FROM = 10**14  # a time from here on is in microseconds
_INTERVALS = {"1m"}


class BinanceError(Exception):
    """An error answer: HTTP status, Binance's code and message."""

    def __init__(self, code: int, message: str, status: int = 400, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.retry_after_s = code, message, status, retry_after_s


class BinanceRest:
    """The handlers; `routes` says which paths they serve."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._weights = WeightWindow(
            backend.settings.binance_weight_per_min, 60, ban_s=backend.settings.binance_ban_s
        )

    def routes(self) -> list[web.RouteDef]:
        """The paths of /api/v3."""
        return [
            self._route("/ping", 1, self._ping),
            self._route("/time", 1, self._time),
            self._route("/exchangeInfo", 20, self._exchange_info),
            self._route("/klines", 2, self._klines),
            self._route("/trades", 25, self._trades),
            self._route("/historicalTrades", 25, self._historical_trades),
            self._route("/aggTrades", 4, self._agg_trades),
            self._route("/ticker/24hr", _ticker_weight, self._ticker),
        ]

    def _route(
        self,
        path: str,
        weight: int | Callable[[web.Request], int],
        answer: Callable[[web.Request], Awaitable[Any]],
    ) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            spent = self._weights.spend(
                address_of(request), weight if isinstance(weight, int) else weight(request)
            )
            headers = {"X-MBX-USED-WEIGHT": str(spent.used), "X-MBX-USED-WEIGHT-1M": str(spent.used)}
            try:
                if spent.outcome != "granted":
                    raise _refusal(418 if spent.outcome == "banned" else 429, spent.retry_after_s)
                fault = await self._backend.rest_fault(request, "binance")
                if fault:
                    raise _refusal(fault.status, fault.retry_after_s)
                return web.json_response(await answer(request), headers=headers, dumps=_dumps)
            except BinanceError as error:
                if error.retry_after_s is not None:
                    headers["Retry-After"] = str(error.retry_after_s)
                body = {"code": error.code, "msg": error.message}
                return web.json_response(body, status=error.status, headers=headers, dumps=_dumps)

        return web.get("/api/v3" + path, handle)

    async def _ping(self, request: web.Request) -> Any:
        return {}

    async def _time(self, request: web.Request) -> Any:
        return {"serverTime": self._backend.world.exchange_time("binance") // _divisor(request)}

    async def _exchange_info(self, request: web.Request) -> Any:
        return {
            "timezone": "UTC",
            "serverTime": self._backend.world.exchange_time("binance") // 1000,
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": self._backend.settings.binance_weight_per_min,
                },
            ],
            "exchangeFilters": [],
            "symbols": [symbol_info(market.listing) for market in self._wanted(request)],
        }

    async def _klines(self, request: web.Request) -> Any:
        market = self._market(request)
        interval = _text(request, "interval")
        if interval not in _INTERVALS:
            raise BinanceError(-1120, "Invalid interval.")
        limit = _limit(request)
        _, time_us = self._backend.visible(market)
        start_us, end_us = _time_us(request, "startTime"), _time_us(request, "endTime")
        if start_us is not None and end_us is not None and start_us > end_us:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        listing, divisor = market.listing, _divisor(request)
        rows = []
        candles = self._backend.candles.between(
            market, start_us or 0, time_us if end_us is None else end_us, time_us, newest_first=start_us is None
        )
        async for candle in candles:
            rows.append(kline_row(listing, candle, divisor))
            if len(rows) == limit:
                break
        return rows[::-1] if start_us is None else rows

    async def _trades(self, request: web.Request) -> Any:
        market = self._market(request)
        return trade_rows(market.listing, self._backend.newest(market, _limit(request)), _divisor(request))

    async def _historical_trades(self, request: web.Request) -> Any:
        market, limit, from_id = self._market(request), _limit(request), _integer(request, "fromId")
        count, _ = self._backend.visible(market)
        first = max(count - limit, 0) if from_id is None else market.index_of(from_id)
        trades = list(market.trades(first, min(first + limit, count)))
        return trade_rows(market.listing, trades, _divisor(request))

    async def _agg_trades(self, request: web.Request) -> Any:
        """Every aggregate holds one trade: no order here is filled at one price by several."""
        market, limit, divisor = self._market(request), _limit(request), _divisor(request)
        count, _ = self._backend.visible(market)
        from_id, start_us, end_us = (
            _integer(request, "fromId"), _time_us(request, "startTime"), _time_us(request, "endTime"),
        )  # fmt: skip
        if from_id is not None and (start_us is not None or end_us is not None):
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        end = count if end_us is None else min(count, market.index_at(end_us + divisor))
        if from_id is not None:
            first = market.index_of(from_id)
        else:
            first = max(end - limit, 0) if start_us is None else market.index_at(start_us)
        rows = trade_rows(market.listing, list(market.trades(first, min(first + limit, end))), divisor)
        return [
            {
                "a": row["id"], "p": row["price"], "q": row["qty"], "f": row["id"], "l": row["id"],
                "T": row["time"], "m": row["isBuyerMaker"], "M": True,
            }
            for row in rows
        ]  # fmt: skip

    async def _ticker(self, request: web.Request) -> Any:
        rows = [self._ticker_row(market) for market in self._wanted(request)]
        return rows[0] if "symbol" in request.query else rows

    def _ticker_row(self, market: SymbolMarket) -> Any:
        count, time_us = self._backend.visible(market)
        first = market.index_at(time_us - _DAY_US)
        head = list(market.trades(first, min(first + BLOCK, count)))
        tail = list(market.trades(max(count - BLOCK, first), count))
        last = tail[-1] if tail else None
        return ticker(market.listing, head + tail, head[0] if head else None, last, count - first, time_us // 1000)

    def _wanted(self, request: web.Request) -> list[SymbolMarket]:
        if "symbol" in request.query:
            return [self._market(request)]
        if "symbols" in request.query:
            try:
                names = json.loads(request.query["symbols"])
                return [self._find(str(name)) for name in names]
            except (TypeError, ValueError) as error:
                raise BinanceError(-1100, "Illegal characters found in parameter 'symbols'.") from error
        return self._backend.world.of("binance")

    def _market(self, request: web.Request) -> SymbolMarket:
        return self._find(_text(request, "symbol"))

    def _find(self, native: str) -> SymbolMarket:
        market = self._backend.world.find("binance", native)
        if market is None:
            raise BinanceError(-1121, "Invalid symbol.")
        return market


def _refusal(status: int, retry_after_s: int | None) -> BinanceError:
    if status == 429:
        message = "Too much request weight used; please use WebSocket Streams for live updates."
        return BinanceError(-1003, message, status, retry_after_s)
    if status == 418:
        return BinanceError(-1003, "Way too much request weight used; IP banned.", status, retry_after_s)
    return BinanceError(-1000, "An unknown error occurred while processing the request.", status, retry_after_s)


def _ticker_weight(request: web.Request) -> int:
    if "symbol" in request.query:
        return 2
    symbols = request.query.get("symbols")
    count = symbols.count('"') // 2 if symbols else 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _text(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def _integer(request: web.Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,20}", value):
        raise BinanceError(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        )
    return int(value)


def _limit(request: web.Request) -> int:
    limit = _integer(request, "limit")
    if limit == 0:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit or 500, 1000)


def _time_us(request: web.Request, name: str) -> int | None:
    value = _integer(request, name)
    return value if value is None or value >= _MICROSECONDS_FROM else value * 1000


def _divisor(request: web.Request) -> int:
    return 1 if request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND" else 1000


def _dumps(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
