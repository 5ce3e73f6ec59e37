"""KuCoin Spot's WebSocket server: token, welcome, topics, the client's pings, limits.

https://www.kucoin.com/docs-new/websocket-api/base-info/introduction
"""

import asyncio
import time
from typing import Any

import orjson
import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from local.exchange.backend import Backend, address_of
from local.exchange.connection import Connection
from local.exchange.faults import NoPong, Refuse
from local.exchange.feed import RenderCandle, RenderTrade
from local.exchange.kucoin_frames import candle_renderer, match_renderer
from local.exchange.kucoin_tokens import Tokens
from local.exchange.limits import PerAddress, SlidingWindow

log = structlog.get_logger()

_MATCH, _CANDLES = "/market/match:", "/market/candles:"


class Refusal(Exception):
    """A message that KuCoin answers with an error: its code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class KucoinWebSocket:
    """Serves /endpoint, to which bullet-public sends its clients."""

    def __init__(self, backend: Backend, tokens: Tokens) -> None:
        self._backend, self._tokens = backend, tokens
        self._connects = PerAddress(backend.settings.kucoin_connects_per_min, 60)
        self._match_renderers: dict[str, RenderTrade] = {}
        self._candle_renderers: dict[str, RenderCandle] = {}

    def routes(self) -> list[web.RouteDef]:
        """The path, with and without a slash."""
        return [web.get("/endpoint", self._serve), web.get("/endpoint/", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        settings, feed = self._backend.settings, self._backend.feed
        if self._backend.faults.use(Refuse, exchange="kucoin"):
            return web.Response(status=503)
        if not self._connects.allows(address_of(request)):
            return web.json_response({"code": "429000", "msg": "Too Many Requests"}, status=429)
        ws = web.WebSocketResponse(timeout=2.0, autoping=False, compress=False)
        await ws.prepare(request)
        connection = Connection("kucoin", request, ws, settings.slow_client_bytes)
        connect_id = request.query.get("connectId", str(connection.number))
        if not self._tokens.valid(request.query.get("token", "")):
            error = {"id": connect_id, "type": "error", "code": 401, "data": "token is expired"}
            await connection.send(error)
            await ws.close(code=WSCloseCode.POLICY_VIOLATION, message=b"token is expired")
            return ws
        client = _Client(connection, SlidingWindow(settings.kucoin_messages_per_10s, 10.0))
        feed.connections[connection.number] = connection
        log.info("connected", exchange="kucoin", connection=connection.number)
        try:
            await connection.send({"id": connect_id, "type": "welcome"})
            connection.later(settings.kucoin_token_life_s, connection.close)
            connection.start(self._watch_pings(client))
            async for message in ws:
                await self._receive(client, message)
        finally:
            feed.drop(connection)
            connection.ended()
            log.info("disconnected", exchange="kucoin", connection=connection.number, code=ws.close_code)
        return ws

    async def _watch_pings(self, client: "_Client") -> None:
        """Hangs up where the client has not pinged for an interval and a time-out."""
        settings = self._backend.settings
        patience_s = (settings.kucoin_ping_interval_ms + settings.kucoin_ping_timeout_ms) / 1000
        while (left_s := client.pinged_s + patience_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
        client.connection.close(WSCloseCode.GOING_AWAY, "Ping timeout")

    async def _receive(self, client: "_Client", message: WSMessage) -> None:
        connection = client.connection
        if message.type is WSMsgType.PING:
            client.pinged_s = time.monotonic()
            await connection.ws.pong(message.data)
            return
        if message.type is not WSMsgType.TEXT:
            return
        request: Any = None
        try:
            try:
                request = orjson.loads(message.data)
            except orjson.JSONDecodeError as error:
                raise Refusal(400, "not JSON") from error
            if not isinstance(request, dict):
                raise Refusal(400, "not an object")
            if not client.messages.allows():
                raise Refusal(509, "exceed max permits per second")
            answer = self._do(client, request)
        except Refusal as refusal:
            answer = {"type": "error", "code": refusal.code, "data": refusal.text}
        if answer:
            answered = request.get("id") if isinstance(request, dict) else None
            await connection.send({"id": "" if answered is None else str(answered), **answer})

    def _do(self, client: "_Client", request: dict[str, Any]) -> dict[str, Any] | None:
        kind = request.get("type")
        if kind == "ping":
            client.pinged_s = time.monotonic()
            silent = self._backend.faults.find(NoPong, exchange="kucoin", connection=client.connection.number)
            return None if silent else {"type": "pong"}
        if kind not in ("subscribe", "unsubscribe"):
            raise Refusal(404, f"type {kind} is not found")
        topics = self._topics(request.get("topic"))
        if kind == "subscribe":
            self._subscribe(client, topics)
        else:
            for topic in topics:
                render = client.connection.subscriptions.pop(topic, None)
                if render:
                    self._backend.feed.unsubscribe(client.connection, render)
        return {"type": "ack"} if request.get("response") else None

    def _topics(self, topic: Any) -> list[str]:
        """A topic string, as one topic a symbol."""
        for prefix in (_MATCH, _CANDLES):
            if isinstance(topic, str) and topic.startswith(prefix):
                names = [name for name in topic.removeprefix(prefix).split(",") if name]
                most = self._backend.settings.kucoin_symbols_per_topic
                if not names or len(names) > most:
                    raise Refusal(400, f"topic must name 1 to {most} symbols")
                return [prefix + name for name in names]
        raise Refusal(404, f"topic {topic} is not found")

    def _subscribe(self, client: "_Client", topics: list[str]) -> None:
        subscriptions, most = client.connection.subscriptions, self._backend.settings.kucoin_topics
        fresh = [topic for topic in dict.fromkeys(topics) if topic not in subscriptions]
        if len(subscriptions) + len(fresh) > most:
            raise Refusal(509, f"exceed max subscription count limitation of {most} per session")
        for topic in fresh:
            subscriptions[topic] = self._attach(client.connection, topic)

    def _attach(self, connection: Connection, topic: str) -> RenderTrade | RenderCandle:
        feed, world = self._backend.feed, self._backend.world
        if topic.startswith(_MATCH):
            market = world.find("kucoin", topic.removeprefix(_MATCH))
            if market:
                matches = self._match_renderers.setdefault(topic, match_renderer(market.listing))
                feed.subscribe_trades(connection, market, matches)
                return matches
        else:
            name, _, interval = topic.removeprefix(_CANDLES).rpartition("_")
            market = world.find("kucoin", name)
            if market and interval == "1min":
                candles = self._candle_renderers.setdefault(topic, candle_renderer(market.listing))
                feed.subscribe_candles(connection, market, candles)
                return candles
        raise Refusal(404, f"topic {topic} is not found")


class _Client:
    """What KuCoin's server remembers of a connection."""

    def __init__(self, connection: Connection, messages: SlidingWindow) -> None:
        self.connection, self.messages = connection, messages
        self.pinged_s = time.monotonic()
