"""What the fuzzers begin with: real frames and trades, and an answer of each REST call."""

import csv
import gzip
import json
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from producer.exchanges import binance, kucoin
from producer.trade import Trade, to_wire

RECORDED = Path(__file__).parents[1] / "recorded"
RECEIVED_AT_US = 1_741_046_500_000_000
_TRADES = 40


@cache
def messages() -> list[bytes]:
    """Messages of the topic, of both exchanges."""
    return [to_wire(trade) for trade in _binance_trades() + _kucoin_trades()]


@cache
def binance_inputs() -> list[bytes]:
    """Inputs of the fuzzer of Binance's adapter: a letter that says what is read, and what it reads."""
    rows = _recorded_rows()
    frames = (RECORDED / "binance_frames.jsonl").read_bytes().splitlines()
    trades = [_dump({"stream": "trxusdt@trade", "data": _binance_frame(row)}) for row in rows]
    control = [
        *(b'{"result":null,"id":1}', b'{"e":"serverShutdown","E":1672515782136}', b'{"code":2,"msg":"Invalid"}'),
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1672515782136}}',
        b'{"error":{"code":-1121,"msg":"x"},"id":null}',
    ]
    page = [_binance_rest(row) for row in rows[:3]]
    kline = [
        *(1741046400000, "0.24", "0.25", "0.23", "0.24", "148976.1", 1741046459999, "2434.19", 308),
        *("1756.8", "28.46", "0"),
    ]
    file_row = [str(548321769), "0.2", "5", "1.0", "1741046404000", "True", "True"]
    return [
        *(b"w" + frame for frame in frames + trades + control),
        b"w" + b"\n".join(trades[:4]),
        *(b"t" + _dump(answer) for answer in (page, page[:1], [], {"code": -1121, "msg": "Invalid symbol."})),
        b"c" + _dump([kline, kline]),
        b"f" + _dump([{"a": 1, "p": "1", "q": "1", "f": -1, "l": -1}, {"f": 7, "l": 9}]),
        b"n" + _dump([{"symbol": "TRXUSDT", "lastId": 9}, {"symbol": "BTCUSDT", "lastId": -1}]),
        b"n" + _dump({"symbol": "TRXUSDT", "lastId": 9}),
        *(b"r" + status + b'{"code":-1003,"msg":"Too much"}' for status in (b"\xc8", b"\x90", b"\xad", b"\xf7")),
        *(b"h" + value for value in (b"57", b"7", b"Fri, 1 Jan")),
        b"m" + b'{"serverTime":1499827319559}',
        b"k" + b"null",
        *(b"b" + ",".join(row).encode() for row in (file_row, file_row[:6])),
        b"l" + ",".join(map(str, kline)).encode(),
    ]


@cache
def kucoin_inputs() -> list[bytes]:
    """The same of KuCoin's."""
    frames = (RECORDED / "kucoin_frames.jsonl").read_bytes().splitlines()
    matches = [frame for frame in frames if b"trade.l3match" in frame]
    other = [frame for frame in frames if frame not in matches]
    rows = [json.loads(frame)["data"] for frame in matches[:3]]
    page = [row | {"time": int(row["time"])} for row in rows]
    candles = [["1589971260", "3", "4", "5", "2", "10", "35"], ["1589971200", "1", "2", "2", "1", "3", "4.5"]]
    return [
        *(b"w" + frame for frame in matches + other[:: max(1, len(other) // 20)]),
        *(
            b"w" + frame
            for frame in (b'{"type":"error","code":401,"data":"expired"}', b'{"id":"3","type":"pong"}')
        ),
        b"w" + b"\n".join(matches[:5]),
        *(b"t" + _dump({"code": "200000", "data": data}) for data in (page, page[:1], [])),
        b"c" + _dump({"code": "200000", "data": candles}),
        b"r\xc8" + _dump({"code": "200000", "data": []}),
        b"r\xad" + _dump({"code": "429000", "msg": "Too many requests"}),
        *(b"h" + value for value in (b"2000", b"2500")),
        b"m" + b'{"code":"200000","data":1546837113087}',
        b"k"
        + _dump({"data": {"token": "2neAiu==", "instanceServers": [{"endpoint": "wss://ws-api.kucoin.com/"}]}}),
    ]


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _recorded_rows() -> list[dict[str, str]]:
    with gzip.open(RECORDED / "TRXUSDT_trades_20250304.csv.gz", "rt", newline="") as file:
        return list(islice(csv.DictReader(file), _TRADES))


def _binance_frame(row: dict[str, str]) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": int(row["trade_time_ms"]) * 1000,
        "s": "TRXUSDT",
        "t": int(row["trade_id"]),
        "p": row["price"],
        "q": row["quantity"],
        "T": int(row["trade_time_ms"]) * 1000,
        "m": row["is_buyer_maker"] == "1",
        "M": True,
    }


def _binance_rest(row: dict[str, str]) -> dict[str, Any]:
    frame = _binance_frame(row)
    return {
        "id": frame["t"],
        "price": frame["p"],
        "qty": frame["q"],
        "time": frame["T"],
        "isBuyerMaker": frame["m"],
        "isBestMatch": True,
    }


def _binance_trades() -> list[Trade]:
    session = binance.session(["TRX-USDT"])
    frames = [_dump(_binance_frame(row)) for row in _recorded_rows()]
    return _trades(session, frames)


def _kucoin_trades() -> list[Trade]:
    frames = [line for line in (RECORDED / "kucoin_frames.jsonl").read_bytes().splitlines() if b"l3match" in line]
    session = kucoin.session(sorted({json.loads(frame)["data"]["symbol"] for frame in frames}))
    return _trades(session, frames)


def _trades(session: Any, frames: list[bytes]) -> list[Trade]:
    events = [event for frame in frames for event in session.read(frame, RECEIVED_AT_US)]
    return [event for event in events if isinstance(event, Trade)]
