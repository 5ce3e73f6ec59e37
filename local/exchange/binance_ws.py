"""Binance Spot's WebSocket server: raw and combined streams, control messages, pings, limits, the life of a day.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from local.exchange.backend import Backend, address_of
from local.exchange.binance_frames import kline_renderer, trade_renderer
from local.exchange.connection import Connection
from local.exchange.faults import NoPing, Refuse
from local.exchange.feed import RenderCandle, RenderTrade
from local.exchange.limits import PerAddress, SlidingWindow

log = structlog.get_logger()

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class InvalidRequest(ValueError):
    """A control message that Binance refuses with code 2."""


class BinanceWebSocket:
    """Serves /ws and /stream."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._connects = PerAddress(backend.settings.binance_connects_per_5min, 300)
        self._trade_renderers: dict[tuple[str, bool, bool], RenderTrade] = {}
        self._kline_renderers: dict[tuple[str, bool, bool], RenderCandle] = {}
        self._clients: dict[int, _Client] = {}

    def routes(self) -> list[web.RouteDef]:
        """The paths of both ways to subscribe in the address."""
        return [
            web.get("/ws", self._raw),
            web.get("/ws/{streams:.*}", self._raw),
            web.get("/stream", self._combined),
        ]

    async def announce_shutdown(self) -> None:
        """Sends the serverShutdown event to every connection."""
        event = {"e": "serverShutdown", "E": self._backend.world.now_us() // 1000}
        for client in list(self._clients.values()):
            wrapped = {"stream": "!serverShutdown", "data": event}
            await client.connection.send(wrapped if client.wrapped else event)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, _split(request.match_info.get("streams", "")), wrapped=False)

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, _split(request.query.get("streams", "")), wrapped=True)

    async def _serve(self, request: web.Request, streams: list[str], wrapped: bool) -> web.StreamResponse:
        settings, feed = self._backend.settings, self._backend.feed
        if self._backend.faults.use(Refuse, exchange="binance"):
            return web.Response(status=503)
        if not self._connects.allows(address_of(request)):
            return web.Response(status=429, headers={"Retry-After": "300"})
        if len(streams) > settings.binance_streams:
            return web.Response(status=400, text="too many streams")
        ws = web.WebSocketResponse(timeout=2.0, autoping=False, compress=False)
        await ws.prepare(request)
        connection = Connection("binance", request, ws, settings.slow_client_bytes)
        micros = request.query.get("timeUnit", "").upper() == "MICROSECOND"
        client = _Client(connection, wrapped, micros, SlidingWindow(settings.binance_messages_per_s, 1.0))
        feed.connections[connection.number] = connection
        self._clients[connection.number] = client
        log.info("connected", exchange="binance", connection=connection.number, streams=len(streams))
        try:
            self._subscribe(client, streams)
            connection.later(settings.binance_life_s, connection.close)
            connection.start(self._ping(client))
            async for message in ws:
                await self._receive(client, message)
        finally:
            feed.drop(connection)
            del self._clients[connection.number]
            connection.ended()
            log.info("disconnected", exchange="binance", connection=connection.number, code=ws.close_code)
        return ws

    async def _ping(self, client: "_Client") -> None:
        """Pings, and hangs up where a ping stays unanswered for too long."""
        settings = self._backend.settings
        connection = client.connection
        while True:
            await asyncio.sleep(settings.binance_ping_s)
            if self._backend.faults.find(NoPing, exchange="binance", connection=connection.number):
                continue
            payload = str(self._backend.world.now_us() // 1000).encode()
            client.unanswered.add(payload)
            await connection.ws.ping(payload)
            connection.later(settings.binance_pong_timeout_s, _hang_up_without_pong(client, payload))

    async def _receive(self, client: "_Client", message: WSMessage) -> None:
        connection = client.connection
        if not client.messages.allows():
            connection.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
        elif message.type is WSMsgType.PING:
            await connection.ws.pong(message.data)
        elif message.type is WSMsgType.PONG:
            if bytes(message.data) in client.unanswered:  # unsolicited ones prove nothing
                client.unanswered.clear()
        elif message.type is WSMsgType.TEXT:
            await connection.send(self._answer(client, message.data))

    def _answer(self, client: "_Client", text: str) -> dict[str, Any]:
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return {"code": 3, "msg": f"Invalid JSON: {error}"}
        try:
            return {"result": self._do(client, request), "id": request.get("id")}
        except InvalidRequest as error:
            return {"code": 2, "msg": f"Invalid request: {error}"}

    def _do(self, client: "_Client", request: Any) -> Any:
        if not isinstance(request, dict) or request.get("method") not in _METHODS:
            raise InvalidRequest(f"unknown variant, expected one of {', '.join(_METHODS)}")
        if request["method"] == "LIST_SUBSCRIPTIONS":
            return list(client.connection.subscriptions)
        if request["method"] == "GET_PROPERTY":
            return client.wrapped
        params = request.get("params")
        if not isinstance(params, list):
            raise InvalidRequest("missing field `params`")
        if request["method"] == "SET_PROPERTY":
            if len(params) != 2 or params[0] != "combined" or not isinstance(params[1], bool):
                raise InvalidRequest("only the property combined can be set, to true or false")
            streams = list(client.connection.subscriptions)
            self._unsubscribe(client, streams)
            client.wrapped = params[1]
            self._subscribe(client, streams)
        elif not all(isinstance(stream, str) for stream in params):
            raise InvalidRequest("params must be an array of strings")
        elif request["method"] == "SUBSCRIBE":
            self._subscribe(client, params)
        else:
            self._unsubscribe(client, params)
        return None

    def _subscribe(self, client: "_Client", streams: list[str]) -> None:
        subscriptions = client.connection.subscriptions
        fresh = [stream for stream in dict.fromkeys(streams) if stream not in subscriptions]
        if len(subscriptions) + len(fresh) > self._backend.settings.binance_streams:
            raise InvalidRequest(f"too many streams, at most {self._backend.settings.binance_streams}")
        for stream in fresh:
            subscriptions[stream] = self._attach(client, stream)

    def _attach(self, client: "_Client", stream: str) -> RenderTrade | RenderCandle | None:
        """Wires a stream; one of an unknown symbol is accepted and stays silent, as on the real server."""
        name, _, kind = stream.partition("@")
        market = self._backend.world.find("binance", name.upper()) if name == name.lower() else None
        if market is None or kind not in ("trade", "kline_1m"):
            log.warning("nothing will come on this stream", exchange="binance", stream=stream)
            return None
        feed, how = self._backend.feed, (stream, client.micros, client.wrapped)
        if kind == "trade":
            trades = self._trade_renderers.setdefault(how, trade_renderer(market.listing, *how))
            feed.subscribe_trades(client.connection, market, trades)
            return trades
        klines = self._kline_renderers.setdefault(how, kline_renderer(market.listing, *how))
        feed.subscribe_candles(client.connection, market, klines)
        return klines

    def _unsubscribe(self, client: "_Client", streams: list[str]) -> None:
        for stream in streams:
            render = client.connection.subscriptions.pop(stream, None)
            if render:
                self._backend.feed.unsubscribe(client.connection, render)


class _Client:
    """What Binance's server remembers of a connection."""

    def __init__(self, connection: Connection, wrapped: bool, micros: bool, messages: SlidingWindow) -> None:
        self.connection, self.wrapped, self.micros, self.messages = connection, wrapped, micros, messages
        self.unanswered: set[bytes] = set()


def _hang_up_without_pong(client: _Client, payload: bytes) -> Callable[[], None]:
    def check() -> None:
        if payload in client.unanswered:
            client.connection.close(WSCloseCode.POLICY_VIOLATION, "Pong timeout")

    return check


def _split(streams: str) -> list[str]:
    return [stream for stream in streams.split("/") if stream]
