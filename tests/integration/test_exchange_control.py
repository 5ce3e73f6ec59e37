"""Faults ordered over HTTP while the simulator runs, what it tells of them, and its restart."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
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

from local.exchange.control import ControlRefused
from local.exchange.faults import (
    Disconnect,
    Disorder,
    Duplicates,
    FutureDates,
    Halt,
    Loss,
    Malformed,
    Refuse,
    RestError,
    RestLag,
    RestTimeout,
    Slow,
    Stall,
)
from local.exchange.launch import Simulator, simulator

RECORDED = Path(__file__).parents[1] / "recorded"
TRADES = RECORDED / "TRXUSDT_trades_20250304.csv.gz"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("exchange")
    with simulator(folder, symbols="binance:3", rate=600, past_minutes=3, sent_log=True) as one:
        yield one


@contextmanager
def connect(exchange: Simulator, *streams: str) -> Iterator[WebSocket]:
    path = f"/stream?timeUnit=MICROSECOND&streams={'/'.join(streams)}"
    socket = create_connection(exchange.ws_url + path, timeout=10)
    try:
        yield socket
    finally:
        socket.close()
        socket.shutdown()  # close() leaves the socket open where the server closed first


def trade(socket: WebSocket) -> Any:
    return json.loads(socket.recv())["data"]


def trades_until(socket: WebSocket, condition: Callable[[], object]) -> list[Any]:
    """The trades that come until a condition holds, all that were sent by then, and 200 more."""
    deadline = time.monotonic() + 60
    found = [trade(socket)]
    while not condition():
        assert time.monotonic() < deadline
        found.append(trade(socket))
    held_at_us = time.time_ns() // 1000
    while found[-1]["E"] <= held_at_us:
        assert time.monotonic() < deadline
        found.append(trade(socket))
    return found + [trade(socket) for _ in range(200)]


def last_before_silence(socket: WebSocket) -> Any:
    """The last trade before none comes for as long as the socket's time-out."""
    last = None
    while True:
        try:
            last = trade(socket)
        except WebSocketTimeoutException:
            return last


def end_of(socket: WebSocket) -> Exception:
    """How a connection ends."""
    while True:
        try:
            socket.recv_data()
        except Exception as error:
            return error


def rest_ids(exchange: Simulator, first: int, last: int) -> list[int]:
    params: dict[str, str | int] = {"symbol": "BTCUSDT", "fromId": first, "limit": 1000}
    rows = httpx.get(f"{exchange.url}/api/v3/historicalTrades", params=params).json()
    return [row["id"] for row in rows if row["id"] <= last]


def test_lost_trades_are_missing_from_the_stream_known_to_rest_and_named_by_the_record(
    exchange: Simulator,
) -> None:
    with connect(exchange, "btcusdt@trade") as socket:
        before = trade(socket)  # the loss may be over before the next one is read
        lost_before = exchange.control.status()["lost"]
        exchange.control.inject(Loss(symbols=["BTC-USDT"], count=25))
        after = trades_until(socket, lambda: not exchange.control.faults())
        ids = [t["t"] for t in (before, *after)]
    missing = sorted(set(range(ids[0], ids[-1] + 1)) - set(ids))
    sent = exchange.control.sent("binance", "BTC-USDT")
    assert len(missing) == 25
    assert exchange.control.status()["lost"] - lost_before == 25
    assert sent.faults["loss"][-25:] == missing
    assert rest_ids(exchange, missing[0], missing[-1]) == list(range(missing[0], missing[-1] + 1))
    assert any(r.last_trade_id == missing[0] - 1 for r in sent.ranges)


def test_duplicates_and_disorder_lose_nothing(exchange: Simulator) -> None:
    with connect(exchange, "btcusdt@trade") as socket:
        trade(socket)
        exchange.control.inject(Duplicates(count=20))
        exchange.control.inject(Disorder(count=30, group=10))
        ids = [t["t"] for t in trades_until(socket, lambda: not exchange.control.faults())]
    assert sorted(set(ids)) == list(range(min(ids), max(ids) + 1))
    assert len(ids) - len(set(ids)) == 20
    assert ids != sorted(ids)


def test_broken_frames_and_future_dates_come_over_the_stream_only(exchange: Simulator) -> None:
    with connect(exchange, "btcusdt@trade") as socket:
        now_us = trade(socket)["T"]
        exchange.control.inject(FutureDates(count=3, ahead_s=3600))
        ahead = [t for t in trades_until(socket, lambda: not exchange.control.faults()) if t["T"] > now_us + 10**9]
        exchange.control.inject(Malformed(count=2))
        broken = 0
        while broken < 2:
            try:
                trade(socket)
            except json.JSONDecodeError:
                broken += 1
    assert len(ahead) == 3
    true = exchange.control.true_trades("binance", "BTC-USDT", ahead[0]["T"] - 3600 * 10**6, now_us + 10**7)
    assert (true[0].trade_id, true[0].traded_at_us) == (ahead[0]["t"], ahead[0]["T"] - 3600 * 10**6)


def test_a_stalled_connection_answers_pings_while_another_goes_on(exchange: Simulator) -> None:
    with connect(exchange, "btcusdt@trade") as stalled, connect(exchange, "btcusdt@trade") as other:
        first = trade(stalled)
        trade(other)
        number = sorted(c["connection"] for c in exchange.control.status()["connections"])[-2]
        exchange.control.inject(Stall(connection=number, duration_s=60))
        stalled.settimeout(2)
        last = last_before_silence(stalled) or first
        stalled.settimeout(30)
        stalled.ping("here?")
        assert stalled.recv_frame().opcode == ABNF.OPCODE_PONG
        assert trade(other)["t"] > 0
        exchange.control.end_faults()
        assert trade(stalled)["t"] > last["t"] + 1


def test_a_slow_connection_gets_everything_late(exchange: Simulator) -> None:
    with connect(exchange, "btcusdt@trade") as socket:
        exchange.control.inject(Slow(duration_s=60, delay_s=0.5))
        trades = [trade(socket) for _ in range(200)]
        late = [time.time_ns() // 1000 - trade(socket)["T"] for _ in range(20)]
        exchange.control.end_faults()
        trades += [trade(socket) for _ in range(200)]
    assert [t["t"] for t in trades[:200]] == list(range(trades[0]["t"], trades[0]["t"] + 200))
    assert min(late) > 300_000


@pytest.mark.parametrize("code", [None, 1001])
def test_connections_are_cut_with_and_without_a_close_frame_and_refused_for_a_while(
    exchange: Simulator, code: int | None
) -> None:
    with connect(exchange, "btcusdt@trade") as socket:
        exchange.control.inject(Refuse(count=1))
        exchange.control.inject(Disconnect(code=code))
        if code is None:
            assert isinstance(end_of(socket), (WebSocketConnectionClosedException, ConnectionError))
        else:
            while (frame := socket.recv_data())[0] != ABNF.OPCODE_CLOSE:
                pass
            assert int.from_bytes(frame[1][:2], "big") == code
    with pytest.raises(WebSocketBadStatusException, match="503"), connect(exchange, "btcusdt@trade"):
        pass
    with connect(exchange, "btcusdt@trade") as socket:
        assert trade(socket)["s"] == "BTCUSDT"


def test_a_halt_stops_the_market_and_its_end_resumes_it_without_a_hole(exchange: Simulator) -> None:
    with connect(exchange, "ethusdt@trade", "solusdt@trade") as socket:
        exchange.control.inject(Halt(symbols=["ETH-USDT"], duration_s=600))
        with pytest.raises(ControlRefused, match="binance:ETH-USDT: halted"):
            exchange.control.change_rate("binance", "ETH-USDT", 5)
        halted_us = exchange.control.status()["now_us"]
        while (t := trade(socket))["s"] != "SOLUSDT" or t["T"] < halted_us + 500_000:
            assert t["s"] == "SOLUSDT" or t["T"] < halted_us
        exchange.control.end_faults()
        while (first := trade(socket))["s"] != "ETHUSDT":
            pass
    true = exchange.control.true_trades("binance", "ETH-USDT", halted_us - 10**6, first["T"] + 1)
    before, after = (next(t for t in true if t.trade_id == first["t"] - back) for back in (1, 0))
    assert after.traded_at_us - before.traded_at_us > 500_000


def test_rest_errors_time_outs_and_lag_end_by_themselves(exchange: Simulator) -> None:
    url = f"{exchange.url}/api/v3/trades?symbol=BTCUSDT&limit=1"
    exchange.control.inject(RestError(status=429, retry_after_s=3, count=1))
    exchange.control.inject(RestError(status=418, retry_after_s=120, count=1, path="trades"))
    exchange.control.inject(RestError(status=503, count=1))
    answers = [httpx.get(url) for _ in range(4)]
    assert [(a.status_code, a.headers.get("retry-after")) for a in answers] == [
        (429, "3"), (418, "120"), (503, None), (200, None),
    ]  # fmt: skip
    exchange.control.inject(RestTimeout(delay_s=0.2, count=1))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url)
    newest = httpx.get(url).json()[0]["id"]
    exchange.control.inject(RestLag(trades=5000, duration_s=60))
    assert httpx.get(url).json()[0]["id"] < newest - 3000
    exchange.control.end_faults()
    assert httpx.get(url).json()[0]["id"] >= newest


def test_what_is_wrong_with_an_order_is_said(exchange: Simulator) -> None:
    with pytest.raises(ControlRefused, match="not listed: NOSUCH-USDT"):
        exchange.control.inject(Loss(symbols=["NOSUCH-USDT"], count=1))
    answer = httpx.post(f"{exchange.url}/_control/faults", json={"kind": "loss"})
    assert (answer.status_code, "so that the fault ends" in answer.text) == (400, True)


def test_the_rate_of_a_symbol_changes_while_it_runs(exchange: Simulator) -> None:
    with connect(exchange, "solusdt@trade") as socket:
        exchange.control.change_rate("binance", "SOL-USDT", 5000)
        while (t := trade(socket))["T"] < exchange.control.status()["now_us"] - 10**6:
            pass
        later = [trade(socket) for _ in range(5000)]
    exchange.control.change_rate("binance", "SOL-USDT", 50)
    assert [x["t"] for x in later] == list(range(t["t"] + 1, t["t"] + 5001))
    assert later[-1]["T"] - later[1000]["T"] < 2_000_000


def test_the_recording_plays_from_the_first_subscription_and_goes_on_without_a_hole(tmp_path: Path) -> None:
    first_id, last_id = 548_321_769, 548_331_768
    with simulator(tmp_path, recording=TRADES, speed=500, rate=100) as one:
        assert one.control.status()["replay"]["state"] == "waiting"
        with connect(one, "trxusdt@trade") as socket:
            events = [trade(socket)]
            while events[-1]["t"] < last_id + 500:
                events.append(trade(socket))
        replay = one.control.status()["replay"]
    begins_id = events[0]["t"]
    assert [e["t"] for e in events] == list(range(begins_id, last_id + 501))
    recorded = events[first_id - begins_id :]
    # made-up ones of the minute before come first, so that the first recorded minute can be proven
    assert replay["start_us"] == recorded[0]["T"] // 60_000_000 * 60_000_000 - 60_000_000
    assert replay["start_us"] <= events[0]["T"] < events[first_id - begins_id - 1]["T"] < recorded[0]["T"]
    assert all(e["T"] <= e["E"] for e in events)
    assert all(a["T"] <= b["T"] for a, b in pairwise(events))
    assert (replay["first_trade_id"], replay["last_trade_id"], replay["state"]) == (first_id, last_id, "over")
    assert replay["shift_us"] % 60_000_000 == 0
    assert recorded[9999]["T"] == replay["end_us"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_goes_on_and_the_time_it_was_down_is_in_rest(tmp_path: Path, how: signal.Signals) -> None:
    settings = {"symbols": "binance:1,kucoin:1", "rate": 40, "past_minutes": 2}
    with simulator(tmp_path, **settings) as one, connect(one, "btcusdt@trade") as socket:
        one.control.change_rate("binance", "BTC-USDT", 90)
        before = [trade(socket) for _ in range(50)]
        one.process.send_signal(how)
        assert one.process.wait(10) == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    with simulator(tmp_path, **settings) as again, connect(again, "btcusdt@trade") as socket:
        after = trade(socket)
        true = again.control.true_trades("binance", "BTC-USDT", before[0]["T"], after["T"] + 1)
    ids = [t.trade_id for t in true]
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert ids[0] <= before[0]["t"] < before[-1]["t"] < after["t"] <= ids[-1]
    told = {t.trade_id: (f"{t.price:.8f}", f"{t.quantity:.8f}", t.traded_at_us) for t in true}
    assert [(e["p"], e["q"], e["T"]) for e in before] == [told[e["t"]] for e in before]


def test_every_batch_sent_stands_in_the_log_where_asked(exchange: Simulator) -> None:
    lines = (exchange.log.parent / "sent.csv").read_text().splitlines()
    assert lines[0] == "sent_at_us,connection,exchange,symbol,trades,first_trade_id,last_trade_id"
    sent_at_us, _, name, symbol, trades, first, last = lines[1].split(",")
    assert (name, symbol, int(sent_at_us) > 10**15) == ("binance", "BTC-USDT", True)
    assert int(last) - int(first) + 1 == int(trades)
