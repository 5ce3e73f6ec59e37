"""KuCoin Spot's REST server: market data, the WebSocket token, weights, errors.

https://www.kucoin.com/docs-new/rest/spot-trading/market-data and …/rate-limit.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local.exchange.backend import Backend, address_of
from local.exchange.kucoin_frames import candle_row, history_rows, symbol_info
from local.exchange.kucoin_tokens import Tokens
from local.exchange.limits import WeightWindow
from local.exchange.market import SymbolMarket

_CANDLES = 1500
_TRADES = 100


class KucoinError(Exception):
    """An error answer: HTTP status, KuCoin's code and message."""

    def __init__(self, code: str, message: str, status: int = 200, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.retry_after_s = code, message, status, retry_after_s


class KucoinRest:
    """The handlers; `routes` says which paths they serve."""

    def __init__(self, backend: Backend, tokens: Tokens) -> None:
        self._backend, self._tokens = backend, tokens
        self._weights = WeightWindow(backend.settings.kucoin_weight_per_30s, 30)

    def routes(self) -> list[web.RouteDef]:
        """The paths of /api/v1."""
        return [
            web.post("/api/v1/bullet-public", self._handler(10, self._bullet)),
            web.get("/api/v1/timestamp", self._handler(3, self._timestamp)),
            web.get("/api/v1/symbols", self._handler(4, self._symbols)),
            web.get("/api/v2/symbols", self._handler(4, self._symbols)),
            web.get("/api/v1/market/histories", self._handler(3, self._histories)),
            web.get("/api/v1/market/candles", self._handler(3, self._candles)),
        ]

    def _handler(
        self, weight: int, answer: Callable[[web.Request], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            spent = self._weights.spend(address_of(request), weight)
            headers = {
                "gw-ratelimit-limit": str(spent.limit),
                "gw-ratelimit-remaining": str(max(spent.limit - spent.used, 0)),
                "gw-ratelimit-reset": str(int(spent.left_s * 1000)),
            }
            try:
                if spent.outcome != "granted":
                    raise KucoinError("429000", "Too Many Requests", 429)
                fault = await self._backend.rest_fault(request, "kucoin")
                if fault:
                    code = "429000" if fault.status == 429 else f"{fault.status}000"
                    raise KucoinError(code, "Too Many Requests", fault.status, fault.retry_after_s)
                body, status = {"code": "200000", "data": await answer(request)}, 200
            except KucoinError as error:
                body, status = {"code": error.code, "msg": error.message}, error.status
                if error.retry_after_s is not None:
                    headers["Retry-After"] = str(error.retry_after_s)
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            return web.json_response(text=text, status=status, headers=headers)

        return handle

    async def _bullet(self, request: web.Request) -> Any:
        settings = self._backend.settings
        server = {
            "endpoint": f"ws://{request.host}/endpoint",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": settings.kucoin_ping_interval_ms,
            "pingTimeout": settings.kucoin_ping_timeout_ms,
        }
        return {"token": self._tokens.give(), "instanceServers": [server]}

    async def _timestamp(self, request: web.Request) -> Any:
        return self._backend.world.exchange_time("kucoin") // 1000

    async def _symbols(self, request: web.Request) -> Any:
        return [symbol_info(market.listing) for market in self._backend.world.of("kucoin")]

    async def _histories(self, request: web.Request) -> Any:
        market = self._market(request)
        return history_rows(market.listing, self._backend.newest(market, _TRADES))

    async def _candles(self, request: web.Request) -> Any:
        market = self._market(request)
        if request.query.get("type") != "1min":
            raise KucoinError("400100", "type: only 1min is served", 400)
        _, time_us = self._backend.visible(market)
        start_us, end_us = _seconds(request, "startAt") or 0, _seconds(request, "endAt")
        if end_us is None:
            end_us = time_us
        elif not self._backend.settings.kucoin_end_at_inclusive:
            end_us -= 1
        rows = []
        async for candle in self._backend.candles.between(market, start_us, end_us, time_us, newest_first=True):
            if candle.count:
                rows.append(candle_row(market.listing, candle))
            if len(rows) == _CANDLES:
                break
        return rows

    def _market(self, request: web.Request) -> SymbolMarket:
        name = request.query.get("symbol", "")
        if not name:
            raise KucoinError("400100", "symbol: must not be empty", 400)
        market = self._backend.world.find("kucoin", name)
        if market is None:
            raise KucoinError("900001", "The symbol does not exist.", 400)
        return market


def _seconds(request: web.Request, name: str) -> int | None:
    value = request.query.get(name)
    if not value or value == "0":
        return None
    if not (value.isascii() and value.isdigit()):
        raise KucoinError("400100", f"{name}: must be a number of seconds", 400)
    return int(value) * 1_000_000
