"""Rows of the exchange's bulk files, and the calls that find a trade by its time."""

from datetime import date
from decimal import Decimal

import pytest

from producer.exchanges import binance, kucoin
from producer.exchanges.adapter import Candle, Request
from producer.trade import Trade, from_wire, to_wire

DAY = date(2025, 3, 4)
TRADE_ROW = ["4535", "0.23640000", "84.60000000", "19.99944000", "1741046400080123", "True", "True"]
KLINE_ROW = [
    "1741046400000000", "0.2364", "0.2366", "0.2363", "0.2365", "8460.1", "1741046459999999", "2000.5", "12",
    "60.1", "14.2", "0",
]  # fmt: skip


def test_a_row_of_trades_becomes_the_trade_that_rest_would_give() -> None:
    trade = Trade(
        "binance", "TRX-USDT", 4535, 4534, Decimal("0.23640000"), Decimal("84.60000000"), "sell",
        1741046400080123, 1763700000000000, "rest",
    )  # fmt: skip
    assert binance.read_trades_row("TRX-USDT", TRADE_ROW, 1763700000000000) == trade
    assert from_wire(to_wire(trade)) == trade


def test_times_before_2025_are_milliseconds() -> None:
    row = [*TRADE_ROW[:4], "1732147200123", "false", "True"]
    trade = binance.read_trades_row("TRX-USDT", row, 1763700000000000)
    assert (trade.traded_at_us, trade.taker_side) == (1732147200123000, "buy")
    candle = binance.read_candles_row("TRX-USDT", ["1732147200000", *KLINE_ROW[1:]])
    assert candle.opened_at_us == 1732147200000000


def test_a_row_of_klines_becomes_a_candle() -> None:
    assert binance.read_candles_row("TRX-USDT", KLINE_ROW) == Candle(
        "binance", "TRX-USDT", 1741046400000000, Decimal("0.2364"), Decimal("0.2366"), Decimal("0.2363"),
        Decimal("0.2365"), Decimal("8460.1"), Decimal("2000.5"), 12, Decimal("60.1"), Decimal("14.2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "row", [[], ["id", "price", "qty", "quoteQty", "time", "isBuyerMaker", "isBestMatch"], TRADE_ROW[:5],
            [*TRADE_ROW[:5], "maybe", "True"], ["4535", "dear", *TRADE_ROW[2:]]],
)  # fmt: skip
def test_a_row_of_trades_that_is_none_names_itself(row: list[str]) -> None:
    with pytest.raises(ValueError, match="binance TRX-USDT: row of trades not understood"):
        binance.read_trades_row("TRX-USDT", row, 0)


@pytest.mark.parametrize("row", [[], KLINE_ROW[:8], ["open_time", *KLINE_ROW[1:]], ["1", "x", *KLINE_ROW[2:]]])
def test_a_row_of_klines_that_is_none_names_itself(row: list[str]) -> None:
    with pytest.raises(ValueError, match="binance TRX-USDT: "):
        binance.read_candles_row("TRX-USDT", row)


def test_files_lie_under_the_exchanges_own_paths() -> None:
    assert binance.trades_file("TRX-USDT", DAY) == (
        "/data/spot/daily/trades/TRXUSDT/TRXUSDT-trades-2025-03-04.zip"
    )
    assert binance.candles_file("TRX-USDT", DAY) == "/data/spot/daily/klines/TRXUSDT/1m/TRXUSDT-1m-2025-03-04.zip"
    assert (kucoin.trades_file("TRX-USDT", DAY), kucoin.candles_file("TRX-USDT", DAY)) == (None, None)


def test_the_first_trade_from_a_time_on_is_asked_of_the_aggregates() -> None:
    assert binance.first_id_request("TRX-USDT", 1741046400000000) == Request(
        "/api/v3/aggTrades", 4, {"symbol": "TRXUSDT", "startTime": 1741046400000, "limit": 100}
    )
    assert kucoin.first_id_request("TRX-USDT", 1741046400000000) is None


def test_voided_aggregates_name_no_first_trade() -> None:
    voided, found = {"a": 7, "p": "0", "q": "0", "f": -1, "l": -1}, {"a": 8, "f": 4535, "l": 4537}
    assert binance.read_first_id("TRX-USDT", [voided, found]) == 4535
    assert binance.read_first_id("TRX-USDT", []) is None
    with pytest.raises(ValueError, match="binance TRX-USDT: aggregates not understood"):
        binance.read_first_id("TRX-USDT", {"msg": "?"})
