"""The feed: at every tick, what has happened in the markets goes out to those who subscribed."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from local.exchange.candles import Candle, candle_of, merged
from local.exchange.connection import Connection, text_frame
from local.exchange.faults import Faults, Slow, Stall, concerns_connection
from local.exchange.market import SymbolMarket, Trade
from local.exchange.recording import MINUTE_US
from local.exchange.sent import SentLog
from local.exchange.shaping import Outgoing, Shaper, broken_frame
from local.exchange.world import World

log = structlog.get_logger()

# A trade, and the time of sending in microseconds, as the text of a frame.
RenderTrade = Callable[[Trade, int], str]
# A candle, the time of sending, and whether its minute is over.
RenderCandle = Callable[[Candle, int, bool], str]

_R = TypeVar("_R", RenderTrade, RenderCandle)


@dataclass(slots=True)
class _Trades:
    """A symbol's trade stream: its next trade, and the subscribers by how they want it rendered."""

    market: SymbolMarket
    index: int
    due_us: int = 0
    subscribers: dict[RenderTrade, list[Connection]] = field(default_factory=dict)


@dataclass(slots=True)
class _Minutes:
    """A symbol's candle stream: the open minute, what it holds so far, and the subscribers."""

    market: SymbolMarket
    minute_us: int
    index: int
    candle: Candle | None
    last_price: int
    subscribers: dict[RenderCandle, list[Connection]] = field(default_factory=dict)


class Feed:
    """Subscriptions, and the loop that serves them.

    Renderers serve as keys: connections that share one get the same bytes.
    """

    def __init__(self, world: World, faults: Faults, sent: SentLog, tick_s: float, candle_every_s: float) -> None:
        self.connections: dict[int, Connection] = {}
        self._world, self._faults, self._sent = world, faults, sent
        self._tick_s, self._candle_every_s = tick_s, candle_every_s
        self._shaper = Shaper(faults)
        self._trades: dict[str, _Trades] = {}
        self._minutes: dict[str, _Minutes] = {}

    def subscribe_trades(self, connection: Connection, market: SymbolMarket, render: RenderTrade) -> None:
        """From now on the connection gets the market's trades."""
        key = market.listing.key
        stream = self._trades.setdefault(key, _Trades(market, self._world.count_of(market)))
        stream.subscribers.setdefault(render, []).append(connection)
        if key == self._world.replayed:
            self._world.begin_replay()

    def subscribe_candles(self, connection: Connection, market: SymbolMarket, render: RenderCandle) -> None:
        """From now on the connection gets the market's open candle every few seconds, and each closed one."""
        key = market.listing.key
        if key not in self._minutes:
            time_us = self._world.time_of(market)
            minute_us = time_us // MINUTE_US * MINUTE_US
            first, end = market.index_at(minute_us), market.index_at(time_us)
            price = next((t.price for t in market.trades(first - 1, first)), 0) if first else 0
            candle = candle_of(minute_us, market.trades(first, end))
            self._minutes[key] = _Minutes(market, minute_us, end, candle, price)
        self._minutes[key].subscribers.setdefault(render, []).append(connection)

    def unsubscribe(self, connection: Connection, render: RenderTrade | RenderCandle) -> None:
        """The connection gets no more of what this renderer renders."""
        self._remove(connection, render)

    def drop(self, connection: Connection) -> None:
        """The connection has ended."""
        self.connections.pop(connection.number, None)
        self._remove(connection, None)

    def changed(self, market: SymbolMarket) -> None:
        """The market's rate has changed: what was said of its next trade may not hold."""
        if stream := self._trades.get(market.listing.key):
            stream.due_us = 0

    async def run(self) -> None:
        """Serves until it is cancelled; a tick that takes too long is followed by the next at once."""
        next_tick_s = next_candles_s = time.monotonic()
        while True:
            self._tick()
            now_s = time.monotonic()
            if now_s >= next_candles_s:
                self._tick_candles()
                next_candles_s = now_s + self._candle_every_s
            next_tick_s = max(next_tick_s + self._tick_s, now_s)
            await asyncio.sleep(next_tick_s - now_s)

    def _remove(self, connection: Connection, render: RenderTrade | RenderCandle | None) -> None:
        for key, trades in list(self._trades.items()):
            if not _left_without(trades.subscribers, connection, render):
                del self._trades[key]
        for key, minutes in list(self._minutes.items()):
            if not _left_without(minutes.subscribers, connection, render):
                del self._minutes[key]

    def _tick(self) -> None:
        now_us = self._world.now_us()
        for key, stream in self._trades.items():
            time_us = self._world.time_of(stream.market, now_us)
            if stream.due_us >= time_us:
                continue
            end = stream.market.index_at(time_us)
            if end > stream.index:
                self._send(key, stream, end, now_us)
                stream.index = end
            stream.due_us = next((t.traded_at_us for t in stream.market.trades(end, end + 1)), 0)
        self._flush()

    def _send(self, key: str, stream: _Trades, end: int, now_us: int) -> None:
        exchange, symbol = stream.market.listing.exchange, stream.market.listing.symbol
        trades = list(stream.market.trades(stream.index, end))
        sent = self._sent.symbols[key]
        shaped: list[Outgoing] | None = None
        if self._shaper.concerns(exchange, symbol):
            shaped, lost = self._shaper.shape(exchange, symbol, trades)
            for trade in lost:
                sent.befell("loss", trade.trade_id)
            for out in shaped:
                if out.fault:
                    sent.befell(out.fault, out.trade.trade_id)
        stalled = self._faults.find(Stall, exchange=exchange, symbol=symbol)
        reached = False
        for render, connections in stream.subscribers.items():
            chunk = _rendered(render, trades, shaped, now_us)
            count = len(trades) if shaped is None else len(shaped)
            for connection in connections:
                if any(concerns_connection(s.fault, connection.number) for s in stalled) or self._too_slow(
                    connection
                ):
                    connection.trades_skipped += count
                elif count:
                    connection.data.append(chunk)
                    connection.trades_sent += count
                    reached = True
                    ends = (trades[0], trades[-1]) if shaped is None else (shaped[0].trade, shaped[-1].trade)
                    self._sent.line(now_us, connection.number, key, count, ends[0].trade_id, ends[1].trade_id)
        if reached and shaped is None:
            sent.add(stream.index, end - 1)
        elif reached and shaped:
            for index in sorted({stream.market.index_of(out.trade.trade_id) for out in shaped}):
                sent.add(index, index)

    def _too_slow(self, connection: Connection) -> bool:
        """A slow client: KuCoin's server drops its messages, Binance's ends its connection."""
        if connection.slow and connection.exchange == "binance" and not connection.ws.closed:
            log.warning("slow client disconnected", exchange=connection.exchange, connection=connection.number)
            connection.close(None)
        return connection.slow

    def _flush(self) -> None:
        for connection in self.connections.values():
            slow = self._faults.find(Slow, exchange=connection.exchange, connection=connection.number)
            delay_s = max((a.fault.delay_s for a in slow if isinstance(a.fault, Slow)), default=0.0)
            connection.flush(delay_s)

    def _tick_candles(self) -> None:
        now_us = self._world.now_us()
        for stream in self._minutes.values():
            time_us, listing = self._world.time_of(stream.market, now_us), stream.market.listing
            stalled = self._faults.find(Stall, exchange=listing.exchange, symbol=listing.symbol)
            while True:
                over_us = stream.minute_us + MINUTE_US
                closed = over_us <= time_us
                end = stream.market.index_at(min(time_us, over_us))
                more = candle_of(stream.minute_us, stream.market.trades(stream.index, end))
                stream.index = end
                stream.candle = merged(stream.candle, more)
                if stream.candle:
                    stream.last_price = stream.candle.close
                shown = stream.candle or Candle.without_trades(stream.minute_us, stream.last_price)
                for render, connections in stream.subscribers.items():
                    frame = text_frame(render(shown, now_us, closed))
                    for connection in connections:
                        if not any(concerns_connection(s.fault, connection.number) for s in stalled):
                            connection.data.append(frame)
                if not closed:
                    break
                stream.minute_us, stream.candle = over_us, None
        self._flush()


def _rendered(render: RenderTrade, trades: list[Trade], shaped: list[Outgoing] | None, now_us: int) -> bytes:
    if shaped is None:
        return b"".join([text_frame(render(trade, now_us)) for trade in trades])
    return b"".join(
        broken_frame(render(out.trade, now_us), out.broken)
        if out.broken
        else text_frame(render(out.trade, now_us))
        for out in shaped
    )


def _left_without(
    subscribers: dict[_R, list[Connection]], connection: Connection, render: RenderTrade | RenderCandle | None
) -> dict[_R, list[Connection]]:
    """The subscribers once a connection has left, those of one renderer or all."""
    for key, connections in list(subscribers.items()):
        if render in (None, key) and connection in connections:
            connections.remove(connection)
            if not connections:
                del subscribers[key]
    return subscribers
