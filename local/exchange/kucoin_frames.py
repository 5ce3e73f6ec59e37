"""KuCoin Spot's payloads: what matches and candles look like over WebSocket and REST.

https://www.kucoin.com/docs-new/3470081w0 (match) and …/rest/spot-trading/market-data.
The forms were checked on recorded frames.
"""

import json
from typing import Any

from local.exchange.candles import Candle
from local.exchange.feed import RenderCandle, RenderTrade
from local.exchange.listing import Listing, Texts
from local.exchange.market import Trade


def match_renderer(listing: Listing) -> RenderTrade:
    """Renders `trade.l3match`. Order ids are made from the trade's."""
    texts = Texts(listing)
    price, quantity = texts.price, texts.quantity
    name = json.dumps(listing.native, ensure_ascii=False)[1:-1]

    def render(trade: Trade, now_us: int) -> str:
        sequence = trade[0]
        return (
            f'{{"type":"message","topic":"/market/match:{name}","subject":"trade.l3match","data":{{"symbol":"{name}",'
            f'"sequence":"{sequence}","side":"{"buy" if trade[4] else "sell"}","size":"{quantity(trade[3])}",'
            f'"price":"{price(trade[2])}","takerOrderId":"{sequence:024x}","makerOrderId":"{sequence - 1:024x}",'
            f'"time":"{trade[1]}000","tradeId":"{sequence}","type":"match"}}}}'
        )

    return render


def candle_renderer(listing: Listing) -> RenderCandle:
    """Renders `trade.candles.update`; there is no flag for a closed candle."""

    def render(candle: Candle, now_us: int, closed: bool) -> str:
        message = {
            "type": "message",
            "topic": f"/market/candles:{listing.native}_1min",
            "subject": "trade.candles.update",
            "data": {"symbol": listing.native, "candles": candle_row(listing, candle), "time": now_us * 1000},
        }
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"))

    return render


def candle_row(listing: Listing, candle: Candle) -> list[str]:
    """[start in seconds, open, close, high, low, volume, turnover], in this order."""
    texts, c = Texts(listing), candle
    return [
        str(c.open_us // 1_000_000),
        texts.price(c.open),
        texts.price(c.close),
        texts.price(c.high),
        texts.price(c.low),
        texts.quantity(c.volume),
        texts.quote(c.quote_volume),
    ]


def history_rows(listing: Listing, trades: list[Trade]) -> list[dict[str, Any]]:
    """Rows of /api/v1/market/histories."""
    texts = Texts(listing)
    return [
        {
            "sequence": str(t.trade_id),
            "price": texts.price(t.price),
            "size": texts.quantity(t.quantity),
            "side": "buy" if t.taker_buys else "sell",
            "time": t.traded_at_us * 1000,
        }
        for t in trades
    ]


def symbol_info(listing: Listing) -> dict[str, Any]:
    """An entry of /api/v1/symbols."""
    base, quote = listing.symbol.split("-")
    texts = Texts(listing)
    return {
        "symbol": listing.native,
        "name": listing.native,
        "baseCurrency": base,
        "quoteCurrency": quote,
        "feeCurrency": quote,
        "market": quote,
        "baseMinSize": texts.quantity(1),
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": texts.quantity(1),
        "quoteIncrement": texts.price(1),
        "priceIncrement": texts.price(1),
        "priceLimitRate": "0.1",
        "isMarginEnabled": False,
        "enableTrading": True,
    }
