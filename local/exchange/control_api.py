"""The control interface under /_control: faults, rates, what is connected, what was sent, what is true."""

import asyncio
from typing import Any

import orjson
import structlog
from aiohttp import WSCloseCode, web
from pydantic import ValidationError

from local.exchange.backend import Backend
from local.exchange.binance_ws import BinanceWebSocket
from local.exchange.candles import Candle
from local.exchange.faults import (
    FAULT,
    ActiveFault,
    Disconnect,
    Fault,
    Halt,
    ServerShutdown,
    TokenExpired,
    concerns_connection,
    symbols_of,
)
from local.exchange.kucoin_tokens import Tokens
from local.exchange.listing import Texts
from local.exchange.market import MarketChangeRefused, SymbolMarket

log = structlog.get_logger()


class Control:
    """The handlers; `routes` says which paths they serve. Errors are JSON: {"error": why}."""

    def __init__(self, backend: Backend, binance: BinanceWebSocket, tokens: Tokens) -> None:
        self._backend, self._binance, self._tokens = backend, binance, tokens
        self._tasks: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[web.RouteDef]:
        """The paths of /_control."""
        return [
            web.get("/_control/status", self._status),
            web.get("/_control/faults", self._list_faults),
            web.post("/_control/faults", self._inject),
            web.delete("/_control/faults", self._end_faults),
            web.delete("/_control/faults/{number:[0-9]+}", self._end_faults),
            web.post("/_control/rate", self._change_rate),
            web.get("/_control/sent", self._sent),
            web.get("/_control/truth", self._truth),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        world = self._backend.world
        replay = None
        if world.clock and world.replayed:
            recorded = next(s for s in world.markets[world.replayed].segments if s.rate is None)
            later = next(s for s in world.markets[world.replayed].segments if s.start_index > recorded.start_index)
            replay = {
                "symbol": world.replayed,
                "state": world.clock.state_at(world.now_us()),
                "shift_us": world.shift_us,
                "start_us": world.clock.start_us,
                "end_us": world.clock.end_us,
                "first_trade_id": world.markets[world.replayed].id_of(recorded.start_index),
                "last_trade_id": world.markets[world.replayed].id_of(later.start_index - 1),
            }
        connections = [c.as_json() for c in self._backend.feed.connections.values()]
        return _json(
            {
                "now_us": world.now_us(),
                "symbols": len(world.markets),
                "replay": replay,
                "connections": connections,
                "lost": self._backend.sent.lost(),
            }
        )

    async def _list_faults(self, request: web.Request) -> web.Response:
        return _json(self._backend.faults.listing())

    async def _inject(self, request: web.Request) -> web.Response:
        try:
            fault = FAULT.validate_json(await request.read())
        except ValidationError as error:
            raise _refused(error.errors(include_url=False, include_context=False)) from error
        unknown = [s for s in symbols_of(fault) if not self._markets(fault.exchange, s)]
        if unknown:
            raise _refused(f"not listed: {', '.join(unknown)}")
        try:
            at_once = self._act(fault)
        except MarketChangeRefused as error:
            raise _refused(str(error)) from error
        log.info("fault", **fault.model_dump(exclude_none=True))
        if at_once:
            return _json({"number": None, **fault.model_dump()})
        return _json(self._backend.faults.add(fault).as_json(asyncio.get_running_loop().time()))

    def _act(self, fault: Fault) -> bool:
        """Does what a fault does at once; whether that was all."""
        if isinstance(fault, Disconnect):
            self._disconnect(fault)
            return True
        if isinstance(fault, ServerShutdown):
            task = asyncio.create_task(self._shut_down(fault))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return True
        if isinstance(fault, TokenExpired):
            self._tokens.expire_all()
            return fault.count is None
        if isinstance(fault, Halt):
            assert fault.duration_s is not None
            world = self._backend.world
            markets = [m for symbol in fault.symbols for m in self._markets(fault.exchange, symbol)]
            for market in markets:
                from_us = world.time_of(market)
                market.halt(from_us, from_us + int(fault.duration_s * 1e6))
            world.save()
        return False

    def _disconnect(self, fault: Disconnect) -> None:
        chosen = [
            c
            for c in self._backend.feed.connections.values()
            if fault.exchange in (None, c.exchange) and concerns_connection(fault, c.number)
        ]
        for connection in chosen[: fault.count]:
            connection.close(fault.code)

    async def _shut_down(self, fault: ServerShutdown) -> None:
        open_now = set(self._backend.feed.connections)
        await self._binance.announce_shutdown()
        await asyncio.sleep(fault.close_after_s)
        for number, connection in list(self._backend.feed.connections.items()):
            if connection.exchange == "binance" and number in open_now:
                connection.close(WSCloseCode.GOING_AWAY)

    async def _end_faults(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        ended = self._backend.faults.remove(int(number) if number else None)
        for active in ended:
            self._resume(active)
        return _json({"ended": [active.number for active in ended]})

    def _resume(self, active: ActiveFault) -> None:
        if isinstance(active.fault, Halt):
            world = self._backend.world
            for symbol in active.fault.symbols:
                for market in self._markets(active.fault.exchange, symbol):
                    market.end_halt(world.time_of(market))
                    self._backend.feed.changed(market)
            world.save()

    async def _change_rate(self, request: web.Request) -> web.Response:
        try:
            wanted = orjson.loads(await request.read())
            exchange, symbol, rate = wanted["exchange"], wanted["symbol"], float(wanted["rate"])
        except (KeyError, TypeError, ValueError) as error:
            raise _refused('write {"exchange":"binance","symbol":"BTC-USDT","rate":5.0}') from error
        markets = self._markets(exchange, symbol)
        if not markets or rate < 0:
            raise _refused(f"{exchange}:{symbol} is not listed, or {rate} is below 0")
        try:
            for market in markets:
                market.change_rate(self._backend.world.time_of(market), rate)
                self._backend.feed.changed(market)
        except MarketChangeRefused as error:
            raise _refused(str(error)) from error
        self._backend.world.save()
        return _json({"exchange": exchange, "symbol": symbol, "rate": rate})

    async def _sent(self, request: web.Request) -> web.Response:
        market = self._asked(request)
        told = self._backend.sent.as_json(market.listing.key)
        ranges = [
            {
                "first_trade_id": market.id_of(first),
                "last_trade_id": market.id_of(last),
                "trades": last - first + 1,
            }
            for first, last in told["ranges"]
        ]
        return _json({"ranges": ranges, "faults": told["faults"]})

    async def _truth(self, request: web.Request) -> web.Response:
        market = self._asked(request)
        time_us = self._backend.world.time_of(market)
        try:
            from_us = int(request.query.get("from_us", "0"))
            until_us = min(int(request.query.get("until_us", str(time_us))), time_us)
        except ValueError as error:
            raise _refused("from_us, until_us: microseconds since 1970") from error
        bars = [
            _bar(market, candle)
            async for candle in self._backend.candles.between(market, from_us, until_us - 1, time_us)
            if candle.count
        ]
        told: dict[str, Any] = {"until_us": until_us, "bars": bars}
        if request.query.get("trades") == "1":
            texts = Texts(market.listing)
            told["trades"] = [
                [
                    t.trade_id,
                    t.traded_at_us,
                    texts.price(t.price),
                    texts.quantity(t.quantity),
                    "buy" if t.taker_buys else "sell",
                ]
                for t in market.trades(market.index_at(from_us), market.index_at(until_us))
            ]
        return _json(told)

    def _asked(self, request: web.Request) -> SymbolMarket:
        exchange, symbol = request.query.get("exchange"), request.query.get("symbol", "")
        markets = self._markets(exchange, symbol) if exchange else []
        if not markets:
            raise _refused(f"exchange={exchange} symbol={symbol}: not listed")
        return markets[0]

    def _markets(self, exchange: str | None, symbol: str) -> list[SymbolMarket]:
        exchanges = [exchange] if exchange else ["binance", "kucoin"]
        return [m for e in exchanges if (m := self._backend.world.markets.get(f"{e}:{symbol}"))]


def _bar(market: SymbolMarket, candle: Candle) -> dict[str, Any]:
    """A true bar, with the names of the table trades_1min_agg."""
    texts = Texts(market.listing)
    return {
        "window_start_us": candle.open_us,
        "open": texts.price(candle.open),
        "high": texts.price(candle.high),
        "low": texts.price(candle.low),
        "close": texts.price(candle.close),
        "volume": texts.quantity(candle.volume),
        "quote_volume": texts.quote(candle.quote_volume),
        "trade_count": candle.count,
        "taker_buy_volume": texts.quantity(candle.taker_buy_volume),
        "taker_buy_quote_volume": texts.quote(candle.taker_buy_quote_volume),
        "first_trade_id": candle.first_id,
        "last_trade_id": candle.last_id,
    }


def _json(answer: Any) -> web.Response:
    return web.json_response(body=orjson.dumps(answer))


def _refused(why: Any) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(body=orjson.dumps({"error": why}), content_type="application/json")
