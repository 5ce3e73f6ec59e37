"""The simulated KuCoin over its sockets: token, welcome, topics, pings, limits, REST."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from websocket import ABNF, WebSocket, WebSocketBadStatusException, create_connection

from local.exchange.faults import NoPong, TokenExpired
from local.exchange.launch import Simulator, simulator

RECORDED = Path(__file__).parents[1] / "recorded"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("exchange")
    with simulator(folder, symbols="kucoin:150", rate=1500, past_minutes=5, kline_every_s=0.2) as one:
        one.control.change_rate("kucoin", "BTC-USDT", 20.0)
        yield one


def ticket(exchange: Simulator) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(f"{exchange.url}/api/v1/bullet-public").json()
    assert answer["code"] == "200000"
    told: dict[str, Any] = answer["data"]
    return told


@contextmanager
def connect(exchange: Simulator, token: str | None = None, welcomed: bool = True) -> Iterator[WebSocket]:
    told = ticket(exchange)
    address = f"{told['instanceServers'][0]['endpoint']}?token={token or told['token']}&connectId=abc"
    socket = create_connection(address, timeout=10)
    try:
        if welcomed:
            assert read(socket) == {"id": "abc", "type": "welcome"}
        yield socket
    finally:
        socket.close()
        socket.shutdown()  # close() leaves the socket open where the server closed first


def read(socket: WebSocket) -> Any:
    return json.loads(socket.recv())


def ask(socket: WebSocket, **request: Any) -> Any:
    """The answer to a message; matches that come before it are passed over."""
    socket.send(json.dumps(request))
    while True:
        message = read(socket)
        if message["type"] != "message":
            return message


def subscribe(socket: WebSocket, topic: str) -> Any:
    return ask(socket, id=1, type="subscribe", topic=topic, privateChannel=False, response=True)


def recorded(subject: str) -> dict[str, Any]:
    """A frame of the real exchange."""
    frames = (json.loads(line) for line in (RECORDED / "kucoin_frames.jsonl").read_text().splitlines())
    return next(frame for frame in frames if frame.get("subject") == subject)


def test_the_token_comes_with_a_server_and_its_ping_interval(exchange: Simulator) -> None:
    server = ticket(exchange)["instanceServers"][0]
    assert server == {
        "endpoint": f"{exchange.ws_url}/endpoint",
        "encrypt": False,
        "protocol": "websocket",
        "pingInterval": 18000,
        "pingTimeout": 10000,
    }


def test_matches_have_the_form_of_the_real_ones_and_are_the_truth(exchange: Simulator) -> None:
    with connect(exchange) as socket:
        assert subscribe(socket, "/market/match:BTC-USDT") == {"id": "1", "type": "ack"}
        messages = [read(socket) for _ in range(50)]
    real = recorded("trade.l3match")
    assert {tuple(sorted(message)) for message in messages} == {tuple(sorted(real))}
    assert {tuple(sorted(message["data"])) for message in messages} == {tuple(sorted(real["data"]))}
    assert {type(value) for message in messages for value in message["data"].values()} == {str}
    matches = [message["data"] for message in messages]
    sequences = [int(match["sequence"]) for match in matches]
    steps = {later - earlier for earlier, later in pairwise(sequences)}
    assert min(steps) > 0
    assert len(steps) > 1
    first_us, last_us = int(matches[0]["time"]) // 1000, int(matches[-1]["time"]) // 1000
    true = {t.trade_id: t for t in exchange.control.true_trades("kucoin", "BTC-USDT", first_us, last_us + 1)}
    assert [(m["price"], m["size"], m["side"], int(m["time"])) for m in matches] == [
        (str(t.price), str(t.quantity), t.taker_side, t.traded_at_us * 1000)
        for t in map(true.__getitem__, sequences)
    ]


def test_a_topic_string_names_up_to_100_symbols(exchange: Simulator) -> None:
    names = [row["symbol"] for row in httpx.get(f"{exchange.url}/api/v1/symbols").json()["data"]]
    assert len(names) == 150
    with connect(exchange) as socket:
        assert subscribe(socket, "/market/match:" + ",".join(names[:101]))["code"] == 400
        assert subscribe(socket, "/market/match:" + ",".join(names[:100]))["type"] == "ack"
        seen = {read(socket)["data"]["symbol"] for _ in range(1500)}
    assert seen <= set(names[:100])
    assert len(seen) > 90


def test_an_unsubscribed_topic_falls_silent(exchange: Simulator) -> None:
    with connect(exchange) as socket:
        subscribe(socket, "/market/match:BTC-USDT,ETH-USDT")
        topic = "/market/match:BTC-USDT"
        assert ask(socket, id="x", type="unsubscribe", topic=topic, response=True) == {"id": "x", "type": "ack"}
        assert {read(socket)["data"]["symbol"] for _ in range(10)} == {"ETH-USDT"}


def test_candles_are_pushed_and_agree_with_rest(exchange: Simulator) -> None:
    with connect(exchange) as socket:
        subscribe(socket, "/market/candles:BTC-USDT_1min")
        message = read(socket)
    assert sorted(message["data"]) == ["candles", "symbol", "time"]
    start_s, opened, *_ = message["data"]["candles"]
    params = {"symbol": "BTC-USDT", "type": "1min", "startAt": start_s, "endAt": int(start_s) + 60}
    rows = httpx.get(f"{exchange.url}/api/v1/market/candles", params=params).json()["data"]
    assert [row[:2] for row in rows] == [[start_s, opened]]


@pytest.mark.parametrize("topic", ["/market/match:NOSUCH-USDT", "/market/nonsense:BTC-USDT", 7, None])
def test_an_unknown_topic_is_an_error(exchange: Simulator, topic: Any) -> None:
    with connect(exchange) as socket:
        answer = subscribe(socket, topic)
    assert (answer["type"], answer["code"], answer["id"]) == ("error", 404, "1")


def test_pings_are_answered_unless_a_fault_says_otherwise(exchange: Simulator) -> None:
    with connect(exchange) as socket:
        assert ask(socket, id="7", type="ping") == {"id": "7", "type": "pong"}
        exchange.control.inject(NoPong(duration_s=60))
        socket.send(json.dumps({"id": "8", "type": "ping"}))
        assert subscribe(socket, "/market/match:ETH-USDT")["type"] == "ack"
        exchange.control.end_faults()
        assert ask(socket, id="9", type="ping") == {"id": "9", "type": "pong"}


def test_an_expired_token_is_said_and_a_new_one_works(exchange: Simulator) -> None:
    old = ticket(exchange)["token"]
    exchange.control.inject(TokenExpired())
    with connect(exchange, token=old, welcomed=False) as socket:
        error = read(socket)
        assert error == {"id": "abc", "type": "error", "code": 401, "data": "token is expired"}
        assert socket.recv_data()[0] == ABNF.OPCODE_CLOSE
    with connect(exchange) as socket:
        assert ask(socket, id="1", type="ping")["type"] == "pong"


def test_histories_are_the_last_100_and_candles_come_newest_first(exchange: Simulator) -> None:
    told = httpx.get(f"{exchange.url}/api/v1/market/histories", params={"symbol": "BTC-USDT"})
    rows = told.json()["data"]
    times = [row["time"] for row in rows]
    assert (len(rows), times) == (100, sorted(times))
    assert sorted(rows[0]) == ["price", "sequence", "side", "size", "time"]
    params = {"symbol": "BTC-USDT", "type": "1min"}
    candles = httpx.get(f"{exchange.url}/api/v1/market/candles", params=params).json()["data"]
    starts = [int(row[0]) for row in candles]
    assert starts == list(range(starts[0], starts[-1] - 1, -60))
    assert {"gw-ratelimit-limit", "gw-ratelimit-remaining", "gw-ratelimit-reset"} <= set(told.headers)
    assert abs(httpx.get(f"{exchange.url}/api/v1/timestamp").json()["data"] - time.time() * 1000) < 5000


def test_minutes_without_trades_are_omitted(tmp_path: Path) -> None:
    with simulator(tmp_path, symbols="kucoin:1", rate=0.01, past_minutes=600) as one:
        params = {"symbol": "BTC-USDT", "type": "1min"}
        rows = httpx.get(f"{one.url}/api/v1/market/candles", params=params).json()["data"]
        true = one.control.true_bars("kucoin", "BTC-USDT")
    assert 50 < len(rows) < 550
    assert [int(row[0]) * 1_000_000 for row in reversed(rows)] == [bar.window_start_us for bar in true]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("histories", {"symbol": "NOSUCH-USDT"}, "900001"),
        ("histories", {}, "400100"),
        ("candles", {"symbol": "BTC-USDT", "type": "1s"}, "400100"),
        ("candles", {"symbol": "BTC-USDT", "type": "1min", "startAt": "x"}, "400100"),
    ],
)
def test_errors_have_kucoins_codes(exchange: Simulator, path: str, params: dict[str, str], code: str) -> None:
    answer = httpx.get(f"{exchange.url}/api/v1/market/{path}", params=params)
    assert (sorted(answer.json()), answer.json()["code"]) == (["code", "msg"], code)


def test_limits_are_kept(tmp_path: Path) -> None:
    settings = {
        "symbols": "kucoin:10", "kucoin_connects_per_min": 2, "kucoin_messages_per_10s": 3, "kucoin_topics": 5,
        "kucoin_weight_per_30s": 29, "kucoin_ping_interval_ms": 300, "kucoin_ping_timeout_ms": 200,
    }  # fmt: skip
    with simulator(tmp_path, **settings) as one:
        while time.time() % 30 > 22:  # weight is counted in fixed windows: this test must lie within one
            time.sleep(0.1)
        names = ",".join(row["symbol"] for row in httpx.get(f"{one.url}/api/v1/symbols").json()["data"])
        token = ticket(one)["token"]
        with connect(one) as socket:
            assert subscribe(socket, f"/market/match:{names}")["code"] == 509
            assert [ask(socket, id=1, type="ping")["type"] for _ in range(3)] == ["pong", "pong", "error"]
        address = f"{one.ws_url}/endpoint?token={token}"
        socket = create_connection(address, timeout=10)
        assert [socket.recv_data()[0] for _ in range(2)] == [ABNF.OPCODE_TEXT, ABNF.OPCODE_CLOSE]  # no ping came
        socket.shutdown()
        with pytest.raises(WebSocketBadStatusException, match="429"):
            create_connection(address, timeout=10)
        refused = httpx.post(f"{one.url}/api/v1/bullet-public")
        assert (refused.status_code, refused.json()["code"]) == (429, "429000")
        assert refused.headers["gw-ratelimit-remaining"] == "0"
