"""Binance Spot's payloads: what trades and candles look like over WebSocket and REST.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and …/rest-api/market-data-endpoints.
"""

import json
from collections.abc import Callable
from typing import Any

from local.exchange.candles import Candle
from local.exchange.feed import RenderCandle, RenderTrade
from local.exchange.listing import Listing, Texts
from local.exchange.market import Trade
from local.exchange.recording import MINUTE_US


def trade_renderer(listing: Listing, stream: str, micros: bool, wrapped: bool) -> RenderTrade:
    """Renders the `trade` event. micros: times in microseconds; wrapped: as a combined stream sends it."""
    texts, divisor = Texts(listing), 1 if micros else 1000
    price, quantity = texts.price, texts.quantity
    head, tail = _around(stream, wrapped)
    name = json.dumps(listing.native, ensure_ascii=False)

    def render(trade: Trade, now_us: int) -> str:
        return (
            f'{head}{{"e":"trade","E":{now_us // divisor},"s":{name},"t":{trade[0]},"p":"{price(trade[2])}",'
            f'"q":"{quantity(trade[3])}","T":{trade[1] // divisor},"m":{"false" if trade[4] else "true"},'
            f'"M":true}}{tail}'
        )

    return render


def kline_renderer(listing: Listing, stream: str, micros: bool, wrapped: bool) -> RenderCandle:
    """Renders the `kline` event of an interval of one minute."""
    texts, divisor = Texts(listing), 1 if micros else 1000
    head, tail = _around(stream, wrapped)

    def render(candle: Candle, now_us: int, closed: bool) -> str:
        c = candle
        event = {
            "e": "kline",
            "E": now_us // divisor,
            "s": listing.native,
            "k": {
                "t": c.open_us // divisor,
                "T": (c.open_us + MINUTE_US - 1) // divisor,
                "s": listing.native,
                "i": "1m",
                "f": c.first_id,
                "L": c.last_id,
                "o": texts.price(c.open),
                "c": texts.price(c.close),
                "h": texts.price(c.high),
                "l": texts.price(c.low),
                "v": texts.quantity(c.volume),
                "n": c.count,
                "x": closed,
                "q": texts.quote(c.quote_volume),
                "V": texts.quantity(c.taker_buy_volume),
                "Q": texts.quote(c.taker_buy_quote_volume),
                "B": "0",
            },
        }
        return head + json.dumps(event, ensure_ascii=False, separators=(",", ":")) + tail

    return render


def kline_row(listing: Listing, candle: Candle, divisor: int) -> list[Any]:
    """A row of /api/v3/klines."""
    texts, c = Texts(listing), candle
    return [
        c.open_us // divisor,
        texts.price(c.open),
        texts.price(c.high),
        texts.price(c.low),
        texts.price(c.close),
        texts.quantity(c.volume),
        (c.open_us + MINUTE_US - 1) // divisor,
        texts.quote(c.quote_volume),
        c.count,
        texts.quantity(c.taker_buy_volume),
        texts.quote(c.taker_buy_quote_volume),
        "0",
    ]


def trade_rows(listing: Listing, trades: list[Trade], divisor: int) -> list[dict[str, Any]]:
    """Rows of /api/v3/trades and /api/v3/historicalTrades."""
    texts = Texts(listing)
    return [
        {
            "id": t.trade_id,
            "price": texts.price(t.price),
            "qty": texts.quantity(t.quantity),
            "quoteQty": texts.quote(t.price * t.quantity),
            "time": t.traded_at_us // divisor,
            "isBuyerMaker": not t.taker_buys,
            "isBestMatch": True,
        }
        for t in trades
    ]


def ticker(
    listing: Listing, sample: list[Trade], first: Trade | None, last: Trade | None, count: int, now_ms: int
) -> Any:
    """A row of /api/v3/ticker/24hr.

    Ids, count, open and last price are exact. What would take a walk over all trades of a day (high, low, volumes)
    is told from the sample.
    """
    texts = Texts(listing)
    kept = [t for t in sample if t.price] or [Trade(-1, 0, 0, 0, True)]
    share = count / len(sample) if sample else 0
    volume = round(sum(t.quantity for t in kept) * share)
    quote_volume = round(sum(t.price * t.quantity for t in kept) * share)
    open_price, last_price = (first.price if first else 0), (last.price if last else 0)
    change = last_price - open_price
    return {
        "symbol": listing.native,
        "priceChange": _signed(texts.price, change),
        "priceChangePercent": f"{100 * change / open_price if open_price else 0:.3f}",
        "weightedAvgPrice": texts.price(quote_volume // volume if volume else 0),
        "prevClosePrice": texts.price(open_price),
        "lastPrice": texts.price(last_price),
        "lastQty": texts.quantity(last.quantity if last else 0),
        "bidPrice": texts.price(max(last_price - 1, 0)),
        "bidQty": texts.quantity(1),
        "askPrice": texts.price(last_price + 1),
        "askQty": texts.quantity(1),
        "openPrice": texts.price(open_price),
        "highPrice": texts.price(max(t.price for t in kept)),
        "lowPrice": texts.price(min(t.price for t in kept)),
        "volume": texts.quantity(volume),
        "quoteVolume": texts.quote(quote_volume),
        "openTime": now_ms - 86_400_000,
        "closeTime": now_ms,
        "firstId": first.trade_id if first else -1,
        "lastId": last.trade_id if last else -1,
        "count": count,
    }


def symbol_info(listing: Listing) -> dict[str, Any]:
    """An entry of /api/v3/exchangeInfo."""
    base, quote = listing.symbol.split("-")
    texts = Texts(listing)
    tick, lot = texts.price(1), texts.quantity(1)
    return {
        "symbol": listing.native,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000000.00000000", "stepSize": lot},
        ],
        "permissions": ["SPOT"],
    }


def _around(stream: str, wrapped: bool) -> tuple[str, str]:
    return (f'{{"stream":{json.dumps(stream, ensure_ascii=False)},"data":', "}") if wrapped else ("", "")


def _signed(text: Callable[[int], str], value: int) -> str:
    return f"-{text(-value)}" if value < 0 else text(value)
