"""1-minute candles of a market, exact, made from its trades whenever they are asked for."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from local.exchange.market import SymbolMarket, Trade
from local.exchange.recording import MINUTE_US

_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Candle:
    """A minute. Prices and volumes are integers in the listing's smallest units, quote volumes in their product.

    Without a trade (count 0) first_id and last_id are -1 and all prices the last one before it.
    """

    open_us: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    count: int
    taker_buy_volume: int
    taker_buy_quote_volume: int
    first_id: int
    last_id: int

    @staticmethod
    def without_trades(open_us: int, price: int) -> "Candle":
        """A minute in which nothing was traded; price: the last one before it."""
        return Candle(open_us, price, price, price, price, 0, 0, 0, 0, 0, -1, -1)


class Candles:
    """Candles of all symbols; those of ended minutes are kept once made."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], Candle] = OrderedDict()

    def candle(self, market: SymbolMarket, minute_us: int, time_us: int) -> Candle | None:
        """The candle of the minute that starts at minute_us, of what has happened before time_us.

        None before the market's first trade.
        """
        key = (market.listing.key, minute_us)
        found = self._kept.get(key)
        if found is None:
            first, end = market.index_at(minute_us), market.index_at(min(minute_us + MINUTE_US, time_us))
            found = candle_of(minute_us, market.trades(first, end)) or _empty(market, minute_us, first)
            if found and minute_us + MINUTE_US <= time_us:
                self._kept[key] = found
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    async def between(
        self, market: SymbolMarket, from_us: int, to_us: int, time_us: int, newest_first: bool = False
    ) -> AsyncIterator[Candle]:
        """Candles that open within [from_us, to_us], in order; others get their turn between two of them."""
        first_us = max(-(-from_us // MINUTE_US), market.segments[0].start_us // MINUTE_US) * MINUTE_US
        last_us = min(to_us, time_us) // MINUTE_US * MINUTE_US
        minutes = range(first_us, last_us + 1, MINUTE_US)
        for minute_us in reversed(minutes) if newest_first else minutes:
            candle = self.candle(market, minute_us, time_us)
            if candle:
                yield candle
            await asyncio.sleep(0)


def candle_of(open_us: int, trades: Iterable[Trade]) -> Candle | None:
    """The candle that these trades make, oldest first; None without any. Voided trades (price 0) don't count."""
    kept = [t for t in trades if t.price and t.quantity]
    if not kept:
        return None
    prices = [t.price for t in kept]
    bought = [t for t in kept if t.taker_buys]
    return Candle(
        open_us,
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(t.quantity for t in kept),
        sum(t.price * t.quantity for t in kept),
        len(kept),
        sum(t.quantity for t in bought),
        sum(t.price * t.quantity for t in bought),
        kept[0].trade_id,
        kept[-1].trade_id,
    )


def merged(earlier: Candle | None, later: Candle | None) -> Candle | None:
    """The candle of both parts of a minute."""
    if earlier is None or later is None:
        return earlier or later
    return Candle(
        earlier.open_us,
        earlier.open,
        max(earlier.high, later.high),
        min(earlier.low, later.low),
        later.close,
        earlier.volume + later.volume,
        earlier.quote_volume + later.quote_volume,
        earlier.count + later.count,
        earlier.taker_buy_volume + later.taker_buy_volume,
        earlier.taker_buy_quote_volume + later.taker_buy_quote_volume,
        earlier.first_id,
        later.last_id,
    )


def _empty(market: SymbolMarket, open_us: int, index: int) -> Candle | None:
    while index > 0:
        index -= 1
        price = next(market.trades(index, index + 1)).price
        if price:
            return Candle.without_trades(open_us, price)
    return None
