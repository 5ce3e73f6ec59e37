"""An independent client is the judge: python-binance streams and pages from the simulator as from Binance."""

import asyncio
import csv
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from local.exchange.launch import Simulator, simulator

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # python-binance uses old names
    from binance import AsyncClient, BinanceSocketManager
    from binance.exceptions import BinanceAPIException

RECORDED = Path(__file__).parents[1] / "recorded"
TRADES = RECORDED / "TRXUSDT_trades_20250304.csv.gz"
FIRST_ID, LAST_ID = 548_321_769, 548_331_768


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("exchange"), recording=TRADES, replay="past", rate=200) as one:
        yield one


@asynccontextmanager
async def client_of(exchange: Simulator, time_unit: str | None = None) -> AsyncIterator[AsyncClient]:
    client = AsyncClient(time_unit=time_unit)
    client.API_URL = f"{exchange.url}/api"
    try:
        yield client
    finally:
        await client.close_connection()


def sockets_of(exchange: Simulator, client: AsyncClient) -> BinanceSocketManager:
    manager = BinanceSocketManager(client)
    manager.STREAM_URL = f"{exchange.ws_url}/"
    return manager


def test_python_binance_pages_klines_equal_to_the_official_ones(exchange: Simulator) -> None:
    with (RECORDED / "TRXUSDT_1m_klines_20250304.csv").open(newline="") as file:
        official = [list(row.values()) for row in csv.DictReader(file)][:16]
    moved_ms = exchange.control.status()["replay"]["shift_us"] // 1000

    async def klines() -> list[Any]:
        async with client_of(exchange) as client:
            first_ms = int(official[0][0]) + moved_ms
            found: list[Any] = await client.get_historical_klines(
                "TRXUSDT", "1m", first_ms, first_ms + 15 * 60_000
            )
            return found

    rows = [[str(field) for field in row] for row in asyncio.run(klines())]
    assert rows == [
        [str(int(row[0]) + moved_ms), *row[1:6], str(int(row[6]) + moved_ms), *row[7:]] for row in official
    ]


def test_python_binance_pages_all_recorded_trades(exchange: Simulator) -> None:
    async def page() -> list[Any]:
        async with client_of(exchange) as client:
            rows: list[Any] = []
            while not rows or rows[-1]["id"] < LAST_ID:
                from_id = rows[-1]["id"] + 1 if rows else FIRST_ID
                rows += await client.get_historical_trades(symbol="TRXUSDT", fromId=from_id, limit=1000)
            return rows

    rows = asyncio.run(page())
    assert [row["id"] for row in rows] == list(range(FIRST_ID, LAST_ID + 1))
    assert {key: value for key, value in rows[0].items() if key != "time"} == {
        "id": FIRST_ID,
        "price": "0.23103",
        "qty": "243",
        "quoteQty": "56.14029",
        "isBuyerMaker": False,
        "isBestMatch": True,
    }


@pytest.mark.parametrize("time_unit", [None, "MICROSECOND"])
def test_python_binance_streams_trades_that_rest_then_confirms(exchange: Simulator, time_unit: str | None) -> None:
    async def stream() -> tuple[list[Any], list[Any]]:
        async with client_of(exchange, time_unit) as client:
            async with sockets_of(exchange, client).trade_socket("BTCUSDT") as socket:
                events = [await asyncio.wait_for(socket.recv(), 10) for _ in range(100)]
            rows = await client.get_historical_trades(symbol="BTCUSDT", fromId=events[0]["t"], limit=100)
            return events, rows

    events, rows = asyncio.run(stream())
    assert [(e["t"], e["p"], e["q"], e["T"], e["m"]) for e in events] == [
        (row["id"], row["price"], row["qty"], row["time"], row["isBuyerMaker"]) for row in rows
    ]
    assert {(e["e"], e["s"], e["M"]) for e in events} == {("trade", "BTCUSDT", True)}


def test_python_binance_streams_several_symbols_and_klines(exchange: Simulator) -> None:
    async def stream() -> dict[str, Any]:
        streams = ["btcusdt@trade", "trxusdt@trade", "ethusdt@kline_1m"]
        async with client_of(exchange) as client, sockets_of(exchange, client).multiplex_socket(streams) as socket:
            found: dict[str, Any] = {}
            while len(found) < len(streams):
                message = await asyncio.wait_for(socket.recv(), 10)
                found[message["stream"]] = message["data"]
            return found

    found = asyncio.run(stream())
    assert {stream: data["e"] for stream, data in found.items()} == {
        "btcusdt@trade": "trade", "trxusdt@trade": "trade", "ethusdt@kline_1m": "kline",
    }  # fmt: skip
    assert sorted(found["ethusdt@kline_1m"]["k"]) == sorted("tTsifLochlvnxqVQB")


def test_python_binance_reads_symbols_tickers_and_errors(exchange: Simulator) -> None:
    async def ask() -> tuple[Any, Any, Any, str]:
        async with client_of(exchange) as client:
            info, tickers = await client.get_exchange_info(), await client.get_ticker()
            newest = await client.get_historical_trades(symbol="TRXUSDT", limit=1)
            with pytest.raises(BinanceAPIException) as error:
                await client.get_klines(symbol="NOSUCH", interval="1m")
            return info, tickers, newest, str(error.value)

    info, tickers, newest, error = asyncio.run(ask())
    assert {symbol["symbol"] for symbol in info["symbols"]} == {"TRXUSDT", "BTCUSDT", "ETHUSDT"}
    by_symbol = {ticker["symbol"]: ticker for ticker in tickers}
    assert 0 <= newest[0]["id"] - by_symbol["TRXUSDT"]["lastId"] < 1000
    assert by_symbol["TRXUSDT"]["count"] == by_symbol["TRXUSDT"]["lastId"] - by_symbol["TRXUSDT"]["firstId"] + 1
    assert error == "APIError(code=-1121): Invalid symbol."
