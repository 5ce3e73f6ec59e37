"""What the servers of both exchanges share: the markets, the feed, the faults, and the REST faults' effect."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from local.exchange.candles import Candles
from local.exchange.faults import Faults, RestError, RestLag, RestTimeout
from local.exchange.feed import Feed
from local.exchange.market import SymbolMarket, Trade
from local.exchange.sent import SentLog
from local.exchange.settings import ExchangeSettings
from local.exchange.world import World


@dataclass(frozen=True, slots=True)
class Backend:
    """Handed to every server."""

    settings: ExchangeSettings
    world: World
    feed: Feed
    faults: Faults
    sent: SentLog
    candles: Candles

    def visible(self, market: SymbolMarket) -> tuple[int, int]:
        """What REST knows of a market: the number of its trades, and up to what time."""
        count, time_us = self.world.count_of(market), self.world.time_of(market)
        lags = self.faults.find(RestLag, exchange=market.listing.exchange, symbol=market.listing.symbol)
        behind = max((a.fault.trades for a in lags if isinstance(a.fault, RestLag)), default=0)
        if behind and count:
            count = max(count - behind, 0)
            time_us = next(t.traded_at_us for t in market.trades(count, count + 1))
        return count, time_us

    def newest(self, market: SymbolMarket, limit: int) -> list[Trade]:
        """The newest trades that REST knows, oldest first."""
        count, _ = self.visible(market)
        return list(market.trades(max(count - limit, 0), count))

    async def rest_fault(self, request: web.Request, exchange: str) -> RestError | None:
        """Suffers the active REST faults: waits, hangs up, or says which error to answer with."""
        for active in self.faults.find(RestTimeout, exchange=exchange):
            fault = active.fault
            if isinstance(fault, RestTimeout) and fault.path in request.path:
                if active.left is not None:
                    active.left -= 1
                await asyncio.sleep(fault.delay_s)
                if not fault.answers and request.transport:
                    request.transport.abort()
                break
        for active in self.faults.find(RestError, exchange=exchange):
            if isinstance(active.fault, RestError) and active.fault.path in request.path:
                if active.left is not None:
                    active.left -= 1
                return active.fault
        return None


def address_of(request: web.Request) -> str:
    """The client's address, by which limits are counted."""
    return request.remote or "unknown"
