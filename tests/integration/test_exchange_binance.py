"""The simulated Binance over its sockets: frames, control messages, pings, limits, weights, errors."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websocket import (
    ABNF,
    WebSocket,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    WebSocketTimeoutException,
    create_connection,
)

from local.exchange.faults import NoPing, ServerShutdown
from local.exchange.launch import Simulator, simulator

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    symbols = "binance:BTC-USDT,binance:ETH-USDT,binance:币安人生-USDT"
    folder = tmp_path_factory.mktemp("exchange")
    with simulator(
        folder, symbols=symbols, rate=300, binance_ping_s=0.3, binance_pong_timeout_s=0.5, kline_every_s=0.2
    ) as one:
        yield one


@contextmanager
def connect(exchange: Simulator, path: str) -> Iterator[WebSocket]:
    socket = create_connection(exchange.ws_url + path, timeout=10)
    try:
        yield socket
    finally:
        socket.close()
        socket.shutdown()  # close() leaves the socket open where the server closed first


def read(socket: WebSocket) -> Any:
    return json.loads(socket.recv())


def ask(socket: WebSocket, **request: Any) -> Any:
    """The answer to a control message; trades that come before it are passed over."""
    socket.send(json.dumps(request))
    while True:
        message = read(socket)
        if "e" not in message and "stream" not in message:
            return message


def rest(exchange: Simulator, path: str, **params: Any) -> httpx.Response:
    return httpx.get(f"{exchange.url}/api/v3/{path}", params=params, timeout=10)


def test_a_raw_stream_sends_trades_in_milliseconds_and_a_combined_one_wraps_them_in_microseconds(
    exchange: Simulator,
) -> None:
    with connect(exchange, "/ws/btcusdt@trade") as socket:
        raw = read(socket)
    with connect(exchange, "/stream?streams=btcusdt@trade/ethusdt@trade&timeUnit=MICROSECOND") as socket:
        wrapped = [read(socket) for _ in range(50)]
    assert list(raw) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
    assert {key: type(value) for key, value in raw.items()} == {
        "e": str, "E": int, "s": str, "t": int, "p": str, "q": str, "T": int, "m": bool, "M": bool,
    }  # fmt: skip
    assert {message["stream"] for message in wrapped} == {"btcusdt@trade", "ethusdt@trade"}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        ids = [m["data"]["t"] for m in wrapped if m["data"]["s"] == symbol]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert all(0 <= m["data"]["E"] - m["data"]["T"] < 2_000_000 for m in wrapped)
    assert 10**12 < raw["T"] < 10**13 < 10**15 < wrapped[0]["data"]["T"]


def test_what_is_streamed_is_the_truth(exchange: Simulator) -> None:
    with connect(exchange, "/ws/btcusdt@trade?timeUnit=MICROSECOND") as socket:
        streamed = [read(socket) for _ in range(100)]
    first, last = streamed[0], streamed[-1]
    true = exchange.control.true_trades("binance", "BTC-USDT", first["T"], last["T"] + 1)
    told = {t.trade_id: (str(t.price), str(t.quantity), t.traded_at_us, t.taker_side) for t in true}
    assert [(e["p"], e["q"], e["T"], "sell" if e["m"] else "buy") for e in streamed] == [
        told[e["t"]] for e in streamed
    ]


def test_a_symbol_of_another_script_is_streamed(exchange: Simulator) -> None:
    with connect(exchange, "/stream") as socket:
        assert ask(socket, method="SUBSCRIBE", params=["币安人生usdt@trade"], id=1) == {"result": None, "id": 1}
        message = read(socket)
    assert (message["stream"], message["data"]["s"]) == ("币安人生usdt@trade", "币安人生USDT")


def test_streams_are_subscribed_listed_and_unsubscribed_by_message(exchange: Simulator) -> None:
    with connect(exchange, "/ws") as socket:
        assert ask(socket, method="SUBSCRIBE", params=["btcusdt@trade", "nosuch@trade"], id=1) == {
            "result": None, "id": 1,
        }  # fmt: skip
        assert ask(socket, method="LIST_SUBSCRIPTIONS", id="a") == {
            "result": ["btcusdt@trade", "nosuch@trade"], "id": "a",
        }  # fmt: skip
        assert read(socket)["s"] == "BTCUSDT"
        assert ask(socket, method="UNSUBSCRIBE", params=["btcusdt@trade"], id=2) == {"result": None, "id": 2}
        assert ask(socket, method="LIST_SUBSCRIPTIONS", id=3) == {"result": ["nosuch@trade"], "id": 3}


def test_bad_control_messages_are_answered_with_codes(exchange: Simulator) -> None:
    with connect(exchange, "/ws") as socket:
        codes = []
        for text in ('{"method":', '{"method":"DANCE","id":1}', '{"method":"SUBSCRIBE","id":1}', "[]"):
            socket.send(text)
            codes.append(read(socket)["code"])
    assert codes == [3, 2, 2, 2]


def test_more_than_five_messages_a_second_end_the_connection(exchange: Simulator) -> None:
    with connect(exchange, "/ws") as socket:
        for number in range(6):
            socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        answers = [read(socket) for _ in range(5)]
        assert [answer["id"] for answer in answers] == [0, 1, 2, 3, 4]
        opcode, data = socket.recv_data()
    assert (opcode, int.from_bytes(data[:2], "big")) == (ABNF.OPCODE_CLOSE, 1008)


def test_more_than_1024_streams_are_refused(exchange: Simulator) -> None:
    streams = [f"coin{number}usdt@trade" for number in range(1025)]
    with connect(exchange, "/ws") as socket:
        assert ask(socket, method="SUBSCRIBE", params=streams, id=1)["code"] == 2
        assert ask(socket, method="SUBSCRIBE", params=streams[:1024], id=2) == {"result": None, "id": 2}


def test_who_answers_no_ping_is_disconnected_and_who_copies_its_payload_is_not(exchange: Simulator) -> None:
    with connect(exchange, "/ws") as answering, connect(exchange, "/ws") as silent:
        pings = 0
        while (opcode := silent.recv_frame().opcode) == ABNF.OPCODE_PING:  # recv_frame answers nothing
            pings += 1
            silent.pong("unsolicited")
            answering.recv_data(control_frame=True)
        assert (opcode, pings >= 1) == (ABNF.OPCODE_CLOSE, True)
        assert ask(answering, method="LIST_SUBSCRIPTIONS", id=1) == {"result": [], "id": 1}


def test_a_server_may_forget_to_ping(exchange: Simulator) -> None:
    exchange.control.inject(NoPing(duration_s=60))
    with connect(exchange, "/ws") as socket:
        socket.settimeout(0.7)
        with pytest.raises(WebSocketTimeoutException):
            socket.recv_frame()
    exchange.control.end_faults()


def test_a_shutdown_is_announced_before_the_close_in_the_form_of_the_streams(exchange: Simulator) -> None:
    with (
        connect(exchange, "/ws/nosuch@trade") as raw,
        connect(exchange, "/stream?streams=nosuch@trade") as combined,
    ):
        exchange.control.inject(ServerShutdown(close_after_s=0.2))
        event, wrapped = read(raw), read(combined)
        assert (event["e"], list(event), wrapped["stream"]) == ("serverShutdown", ["e", "E"], "!serverShutdown")
        assert wrapped["data"]["e"] == "serverShutdown"
        assert [socket.recv_data()[0] for socket in (raw, combined)] == [ABNF.OPCODE_CLOSE] * 2


def test_klines_are_pushed_open_and_closed_and_agree_with_rest(exchange: Simulator) -> None:
    with connect(exchange, "/ws/btcusdt@kline_1m") as socket:
        one = read(socket)
        while (later := read(socket))["k"]["t"] == one["k"]["t"] and later["k"]["n"] == one["k"]["n"]:
            pass
    k = later["k"]
    assert (one["e"], k["i"], k["s"], k["T"] - k["t"]) == ("kline", "1m", "BTCUSDT", MINUTE_MS - 1)
    assert k["n"] == k["L"] - k["f"] + 1
    row = rest(exchange, "klines", symbol="BTCUSDT", interval="1m", startTime=k["t"], limit=1).json()[0]
    assert (row[0], row[1]) == (k["t"], k["o"])
    assert row[8] >= k["n"]


def test_klines_are_cut_by_start_end_and_limit(exchange: Simulator) -> None:
    def opens(**params: Any) -> list[int]:
        return [row[0] for row in rest(exchange, "klines", symbol="BTCUSDT", interval="1m", **params).json()]

    everything = opens()
    first, last = everything[0], everything[-1]
    assert len(everything) >= 60
    assert everything == list(range(first, last + 1, MINUTE_MS))
    assert opens(startTime=first + 1, limit=2) == [first + MINUTE_MS, first + 2 * MINUTE_MS]
    assert opens(endTime=first + 3 * MINUTE_MS, limit=2) == [first + 2 * MINUTE_MS, first + 3 * MINUTE_MS]
    assert opens(startTime=first * 1000, endTime=(first + MINUTE_MS) * 1000) == [first, first + MINUTE_MS]
    assert opens(startTime=last + 10 * MINUTE_MS) == []


def test_trades_are_paged_by_id_from_wherever_asked(exchange: Simulator) -> None:
    ticker = rest(exchange, "ticker/24hr", symbol="BTCUSDT").json()
    first = ticker["firstId"]

    def ids(path: str, **params: Any) -> list[int]:
        return [row["id"] for row in rest(exchange, path, symbol="BTCUSDT", **params).json()]

    assert ids("historicalTrades", fromId=0, limit=3) == [first, first + 1, first + 2]
    assert ids("historicalTrades", fromId=first + 100, limit=2) == [first + 100, first + 101]
    assert ids("historicalTrades", fromId=ticker["lastId"] + 10_000_000) == []
    assert [len(ids(path)) for path in ("historicalTrades", "trades")] == [500, 500]
    assert len(ids("trades", limit=5000)) == 1000
    aggregated = rest(exchange, "aggTrades", symbol="BTCUSDT", fromId=first, limit=2).json()
    assert [(row["a"], row["f"], row["l"]) for row in aggregated] == [(i, i, i) for i in (first, first + 1)]


def test_times_are_microseconds_where_the_header_asks(exchange: Simulator) -> None:
    url = f"{exchange.url}/api/v3/time"
    assert 10**12 < httpx.get(url).json()["serverTime"] < 10**13
    assert httpx.get(url, headers={"X-MBX-TIME-UNIT": "MICROSECOND"}).json()["serverTime"] > 10**15


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("klines", {"symbol": "NOSUCH", "interval": "1m"}, -1121),
        ("klines", {"interval": "1m"}, -1102),
        ("klines", {"symbol": "BTCUSDT", "interval": "1x"}, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": 5, "endTime": 4}, -1128),
        ("trades", {"symbol": "BTCUSDT", "limit": "x"}, -1100),
        ("trades", {"symbol": "BTCUSDT", "limit": 0}, -1130),
        ("ticker/24hr", {"symbols": "BTC"}, -1100),
    ],
)
def test_errors_have_binances_codes(exchange: Simulator, path: str, params: dict[str, Any], code: int) -> None:
    answer = rest(exchange, path, **params)
    assert (answer.status_code, sorted(answer.json()), answer.json()["code"]) == (400, ["code", "msg"], code)


def test_weight_is_told_then_refused_then_banned(tmp_path: Path) -> None:
    with simulator(tmp_path, symbols="binance:2", binance_weight_per_min=160, binance_ban_s=7) as one:
        while time.time() % 60 > 50:  # weight is counted in fixed windows: this test must lie within one
            time.sleep(0.1)
        used = [
            int(rest(one, path, **params).headers["x-mbx-used-weight-1m"])
            for path, params in [
                ("ping", {}),
                ("klines", {"symbol": "BTCUSDT", "interval": "1m"}),
                ("historicalTrades", {"symbol": "BTCUSDT"}),
                ("ticker/24hr", {"symbol": "BTCUSDT"}),
                ("ticker/24hr", {}),
                ("exchangeInfo", {}),
            ]
        ]
        assert used == [1, 3, 28, 30, 110, 130]
        answers = [rest(one, "trades", symbol="BTCUSDT") for _ in range(13)]
    assert [answer.status_code for answer in answers] == [200] + [429] * 10 + [418] * 2
    assert 1 <= int(answers[1].headers["retry-after"]) <= 60
    assert [answers[-1].headers["retry-after"], answers[-1].json()["code"]] == ["7", -1003]


def test_connections_live_only_so_long_and_connects_are_counted(tmp_path: Path) -> None:
    settings = {"symbols": "binance:1", "binance_life_s": 0.5, "binance_connects_per_5min": 2}
    with simulator(tmp_path, **settings) as one, connect(one, "/ws") as socket, connect(one, "/ws"):
        with pytest.raises(WebSocketBadStatusException, match="429"), connect(one, "/ws"):
            pass
        assert socket.recv_data()[0] == ABNF.OPCODE_CLOSE
        with pytest.raises((WebSocketConnectionClosedException, ConnectionResetError)):
            socket.recv()
