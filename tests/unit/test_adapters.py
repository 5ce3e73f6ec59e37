"""The adapters: frames and answers in, trades and control events out."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from producer.exchanges import EXCHANGES, binance, kucoin
from producer.exchanges.adapter import (
    Acknowledged,
    Candle,
    ClosingSoon,
    Newest,
    Ready,
    Refusal,
    Refused,
    Rejected,
    Request,
    Unknown,
    adapter_of,
    exact,
)
from producer.trade import Trade, from_wire, to_wire

RECORDED = Path(__file__).parent.parent / "recorded"
BINANCE_TRADE: dict[str, Any] = {
    "e": "trade", "E": 1672515782136000, "s": "BNBBTC", "t": 12345, "p": "0.00100000", "q": "100.00000000",
    "T": 1672515782136001, "m": True, "M": True,
}  # fmt: skip


MATCH_OF_DEEP = '{"type":"message","subject":"trade.l3match","topic":DEEP,"data":{"symbol":DEEP}}'


def combined(data: dict[str, Any]) -> str:
    return json.dumps({"stream": "bnbbtc@trade", "data": data})


@pytest.mark.parametrize("exchange", sorted(EXCHANGES))
def test_every_registered_exchange_has_an_adapter_within_its_own_limits(exchange: str) -> None:
    adapter = adapter_of(exchange)
    symbols = [f"A{number}-USDT" for number in range(adapter.LIMITS.symbols_per_connection)]
    messages = adapter.session(symbols).subscribe()
    assert len(messages) <= adapter.LIMITS.messages.count
    assert adapter.session(symbols).read("not JSON", 0) == [Rejected(f"{exchange}: not a JSON object: 'not JSON'")]
    assert adapter.session(symbols).read("[1]", 0) == [Rejected(f"{exchange}: not a JSON object: '[1]'")]


@pytest.mark.parametrize("exchange", sorted(EXCHANGES))
@pytest.mark.parametrize("frame", ['{"a":DEEP}', '{"code":DEEP}', '{"e":"trade","t":DEEP}', MATCH_OF_DEEP])
def test_a_deeply_nested_frame_is_odd_and_told_in_short(exchange: str, frame: str) -> None:
    session = adapter_of(exchange).session(["A-B"])
    [event] = session.read(frame.replace("DEEP", "[" * 1020 + "9" * 5000 + "]" * 1020), 1)
    [deep] = session.read(frame.replace("DEEP", "[" * 1000 + "]" * 1000), 1)
    for told in (event, deep):
        assert isinstance(told, Rejected | Refused | Unknown)
        assert len(repr(told)) < 2000


@pytest.mark.parametrize("exchange", sorted(EXCHANGES))
def test_a_deeply_nested_answer_is_not_understood(exchange: str) -> None:
    deep: list[Any] = []
    for _ in range(1500):
        deep = [deep]
    adapter = adapter_of(exchange)
    for read in (lambda: adapter.read_trades("A-B", deep, 1), lambda: adapter.read_candles("A-B", deep)):
        with pytest.raises(ValueError, match=f"{exchange} A-B: .* not understood"):
            read()


@pytest.mark.parametrize("exchange", sorted(EXCHANGES))
@pytest.mark.parametrize("count", ["9" * 5000, "-1", "1.5", "1_0", "", "\u0663"])
def test_a_header_that_is_no_count_says_nothing(exchange: str, count: str) -> None:
    names = ("x-mbx-used-weight-1m", "retry-after", "gw-ratelimit-limit", "gw-ratelimit-remaining")
    headers = dict.fromkeys((*names, "gw-ratelimit-reset"), count)
    adapter = adapter_of(exchange)
    assert (adapter.used_weight(headers), adapter.retry_after_s(headers)) == (None, None)


@pytest.mark.parametrize("text", ["1E+999999999", "1e-999999999", "NaN", "Infinity", "1_0", " 1", "1.", "٣", ""])
def test_what_only_python_reads_as_a_number_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no decimal: "):
        exact(text)


class TestBinance:
    def read(self, frame: str) -> list[Any]:
        return binance.session(["BNB-BTC"]).read(frame, 1672515782137000)

    def test_a_trade_frame_becomes_a_trade(self) -> None:
        trade = Trade(
            "binance", "BNB-BTC", 12345, 12344, Decimal("0.00100000"), Decimal("100.00000000"), "sell",
            1672515782136001, 1672515782137000, "ws",
        )  # fmt: skip
        assert self.read(combined(BINANCE_TRADE)) == [trade]
        assert self.read(json.dumps(BINANCE_TRADE)) == [trade]
        assert from_wire(to_wire(trade)) == trade

    def test_milliseconds_of_a_server_without_microseconds_are_understood(self) -> None:
        [trade] = self.read(combined(BINANCE_TRADE | {"T": 1672515782136}))
        assert trade.traded_at_us == 1672515782136000

    def test_the_first_trade_of_all_has_none_before_it(self) -> None:
        [trade] = self.read(combined(BINANCE_TRADE | {"t": 0}))
        assert (trade.trade_id, trade.prev_trade_id) == (0, None)

    @pytest.mark.parametrize(
        "change",
        [
            {"s": "ETHBTC"},
            {"t": "12345"},
            {"p": 0.001},
            {"p": "x"},
            {"m": 1},
            {"T": None},
            {"T": 1.5},
            {"q": None},
        ],
    )
    def test_a_malformed_trade_is_rejected_and_shown(self, change: dict[str, Any]) -> None:
        [event] = self.read(combined(BINANCE_TRADE | change))
        assert isinstance(event, Rejected)
        assert event.reason.startswith("binance: not a trade (")

    def test_control_frames_are_told_apart(self) -> None:
        assert self.read('{"result":null,"id":1}') == [Acknowledged("request 1")]
        assert self.read('{"e":"serverShutdown","E":1672515782136}') == [ClosingSoon()]
        shutdown = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1672515782136}}'
        assert self.read(shutdown) == [ClosingSoon()]
        [refused] = self.read('{"code":2,"msg":"Invalid request"}')
        assert isinstance(refused, Refused)

    def test_recorded_frames_of_other_streams_emit_no_trade(self) -> None:
        frames = (RECORDED / "binance_frames.jsonl").read_text().splitlines()
        events = [event for frame in frames for event in self.read(frame)]
        assert len(events) == len(frames) > 5
        assert {type(event) for event in events} == {Unknown}

    def test_streams_are_named_in_the_url(self) -> None:
        url = binance.websocket_url(None, None, ["BTC-USDT", "1INCH-BTC"], "c1")
        assert url == (
            "wss://stream.binance.com:9443/stream?streams=btcusdt@trade/1inchbtc@trade&timeUnit=MICROSECOND"
        )
        assert binance.websocket_url("ws://127.0.0.1:1/", None, ["A-B"], "c1").startswith(
            "ws://127.0.0.1:1/stream?"
        )

    def test_trades_by_id_are_asked_and_read(self) -> None:
        assert binance.trades_request("BTC-USDT", 7) == Request(
            "/api/v3/historicalTrades",
            25,
            {"symbol": "BTCUSDT", "fromId": 7, "limit": 1000},
            {"X-MBX-TIME-UNIT": "MICROSECOND"},
        )
        row = {"id": 8, "price": "4.00000100", "qty": "12.0", "quoteQty": "48.0", "time": 1499865549590,
               "isBuyerMaker": False, "isBestMatch": True}  # fmt: skip
        assert binance.read_trades("BTC-USDT", [row | {"id": 9}, row], 5) == [
            Trade("binance", "BTC-USDT", trade_id, trade_id - 1, Decimal("4.00000100"), Decimal("12.0"), "buy",
                  1499865549590000, 5, "rest")
            for trade_id in (8, 9)
        ]  # fmt: skip

    @pytest.mark.parametrize("answer", [None, {}, {"a": 1}, [1], [{"id": 1}]])
    def test_an_answer_that_is_not_understood_says_so(self, answer: Any) -> None:
        if answer == {}:
            assert binance.read_trades("BTC-USDT", answer, 5) == []
            return
        with pytest.raises(ValueError, match="binance BTC-USDT: trades not understood"):
            binance.read_trades("BTC-USDT", answer, 5)

    def test_klines_are_asked_and_read(self) -> None:
        request = binance.candles_request("BTC-USDT", 60_000_000, 180_000_000)
        assert request.params == {
            "symbol": "BTCUSDT", "interval": "1m", "startTime": 60_000, "endTime": 179_999, "limit": 1000,
        }  # fmt: skip
        row = [1499040000000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815",
               1499644799999, "2434.19055334", 308, "1756.87402397", "28.46694368", "0"]  # fmt: skip
        assert binance.read_candles("BTC-USDT", [row]) == [
            Candle("binance", "BTC-USDT", 1499040000000000, Decimal("0.01634790"), Decimal("0.80000000"),
                   Decimal("0.01575800"), Decimal("0.01577100"), Decimal("148976.11427815"),
                   Decimal("2434.19055334"), 308, Decimal("1756.87402397"), Decimal("28.46694368"))
        ]  # fmt: skip

    def test_newest_ids_come_from_the_tickers(self) -> None:
        assert binance.newest_request(["BTC-USDT"]) == Request("/api/v3/ticker/24hr", 2, {"symbol": "BTCUSDT"})
        assert binance.newest_request(["BTC-USDT", "ETH-USDT"]) == Request("/api/v3/ticker/24hr", 80)
        tickers = [
            {"symbol": "BTCUSDT", "lastId": 9},
            {"symbol": "XUSDT", "lastId": 3},
            {"symbol": "EUSDT", "lastId": -1},
        ]
        symbols = ["BTC-USDT", "E-USDT", "GONE-USDT"]
        assert binance.read_newest(symbols, tickers) == {"BTC-USDT": Newest(9, None)}
        assert binance.read_newest(["BTC-USDT"], tickers[0]) == {"BTC-USDT": Newest(9, None)}

    def test_the_exchanges_time_is_read(self) -> None:
        assert binance.time_request() == Request("/api/v3/time", 1)
        assert binance.read_time({"serverTime": 1499827319559}) == 1499827319559000
        with pytest.raises(ValueError, match="time not understood"):
            binance.read_time([])

    @pytest.mark.parametrize("ticker", [{"symbol": "AB", "lastId": "9"}, {"symbol": "AB"}, {"symbol": []}, 1])
    def test_tickers_that_are_not_understood_say_so(self, ticker: Any) -> None:
        with pytest.raises(ValueError, match="binance: tickers not understood"):
            binance.read_newest(["A-B"], [ticker])

    @pytest.mark.parametrize("place", [0, 4])
    def test_a_row_of_a_file_is_read_as_strictly_as_json(self, place: int) -> None:
        row = ["7", "0.2", "5", "1.0", "1741046404000", "True", "True"]
        assert binance.read_trades_row("A-B", row, 1).trade_id == 7
        row[place] = "1_0"
        with pytest.raises(ValueError, match="binance A-B: row of trades not understood"):
            binance.read_trades_row("A-B", row, 1)

    @pytest.mark.parametrize(
        ("status", "answer", "refusal"),
        [
            (200, [], None),
            (400, {"code": -1121, "msg": "Invalid symbol."}, Refusal("-1121 Invalid symbol.", False)),
            (403, None, Refusal("HTTP 403", False)),
            (418, {"code": -1003, "msg": "banned"}, Refusal("-1003 banned", True)),
            (429, {"code": -1003, "msg": "Too much"}, Refusal("-1003 Too much", True)),
            (503, None, Refusal("HTTP 503", True)),
        ],
    )
    def test_refusals_are_told_apart(self, status: int, answer: Any, refusal: Refusal | None) -> None:
        assert binance.read_refusal(status, answer) == refusal

    def test_headers_are_read(self) -> None:
        assert binance.used_weight({"x-mbx-used-weight-1m": "57"}) == 57
        assert binance.used_weight({}) is None
        assert binance.retry_after_s({"retry-after": "7"}) == 7
        assert binance.retry_after_s({"retry-after": "Fri, 1 Jan"}) is None


class TestKucoin:
    SYMBOLS = ("DAPPT-BTC", "ANKR-BTC", "EQZ-BTC", "SNX-BTC", "FET-BTC", "BCHSV-USDT", "NRG-BTC", "CAPP-BTC",
               "COV-BTC", "LTX-USDT", "BSV-USDT")  # fmt: skip

    def test_recorded_frames_become_trades_that_attest_the_one_before(self) -> None:
        session = kucoin.session(self.SYMBOLS)
        frames = (RECORDED / "kucoin_frames.jsonl").read_text().splitlines()
        events = [event for frame in frames for event in session.read(frame, 1619378390000000)]
        trades = [event for event in events if isinstance(event, Trade)]
        assert Ready() in events
        assert Acknowledged("ack") in events
        assert len(trades) == 18
        assert trades[0] == Trade(
            "kucoin", "DAPPT-BTC", 1612701563869, None, Decimal("0.0000001117"), Decimal("81.8814"), "buy",
            1619378327739050, 1619378390000000, "ws",
        )  # fmt: skip
        assert (trades[1].prev_trade_id, trades[1].trade_id) == (1612701563869, 1612701563871)
        for trade in trades:
            assert from_wire(to_wire(trade)) == trade

    def frame(self, sequence: int, symbol: str = "A-B") -> str:
        data = {
            "symbol": symbol,
            "sequence": str(sequence),
            "side": "sell",
            "size": "1",
            "price": "2",
            "time": "1000",
        }
        return json.dumps(
            {"type": "message", "subject": "trade.l3match", "topic": f"/market/match:{symbol}", "data": data}
        )

    def test_disorder_and_duplicates_attest_nothing(self) -> None:
        session = kucoin.session(["A-B"])
        trades = [event for id in (10, 14, 14, 12, 16) for event in session.read(self.frame(id), 1)]
        assert [trade.prev_trade_id for trade in trades if isinstance(trade, Trade)] == [None, 10, None, None, 14]

    def test_a_trade_attests_nothing_across_a_frame_that_was_not_understood(self) -> None:
        session = kucoin.session(["A-B", "C-D"])
        broken = [self.frame(12).replace('"sell"', "7"), self.frame(12)[:40], "\x00", self.frame(12, "C-D")[:-1]]
        frames = [self.frame(10, "C-D")]
        for number, frame in enumerate(broken):
            frames += [self.frame(10 + 20 * number), frame, self.frame(20 + 20 * number)]
        frames += [self.frame(90), self.frame(11, "C-D"), self.frame(13, "C-D")]
        trades = [event for frame in frames for event in session.read(frame, 1) if isinstance(event, Trade)]
        assert [(t.prev_trade_id, t.trade_id) for t in trades if t.symbol == "A-B"] == [
            *((None, 10), (None, 20), (20, 30), (None, 40), (40, 50), (None, 60), (60, 70), (None, 80), (80, 90))
        ]
        assert [(t.prev_trade_id, t.trade_id) for t in trades if t.symbol == "C-D"] == [
            *((None, 10), (None, 11), (11, 13))
        ]

    def test_a_malformed_match_of_one_symbol_leaves_the_attestation_of_others(self) -> None:
        session = kucoin.session(["A-B", "C-D"])
        frames = [self.frame(10), self.frame(10, "C-D"), self.frame(12, "C-D").replace('"sell"', "7")]
        for frame in frames:
            session.read(frame, 1)
        [mine], [other] = session.read(self.frame(11), 1), session.read(self.frame(13, "C-D"), 1)
        assert isinstance(mine, Trade)
        assert isinstance(other, Trade)
        assert (mine.prev_trade_id, other.prev_trade_id) == (10, None)

    def test_more_ids_than_a_message_may_account_for_are_not_attested(self) -> None:
        session = kucoin.session(["A-B"])
        trades = [event for id in (1, 1_000_001, 2_000_002) for event in session.read(self.frame(id), 1)]
        assert [trade.prev_trade_id for trade in trades if isinstance(trade, Trade)] == [None, 1, None]

    def test_a_new_connection_attests_nothing_before_its_first_trade(self) -> None:
        for _ in range(2):
            [trade] = kucoin.session(["A-B"]).read(self.frame(10), 1)
            assert isinstance(trade, Trade)
            assert trade.prev_trade_id is None

    def test_control_frames_are_told_apart(self) -> None:
        session = kucoin.session(["A-B"])
        assert session.read('{"id":"3","type":"pong"}', 1) == [Acknowledged("pong")]
        expired = '{"type":"error","code":401,"data":"token is expired"}'
        assert session.read(expired, 1) == [Refused("kucoin: 401 token is expired")]
        assert session.on_open() == []

    def test_a_malformed_match_is_rejected_and_shown(self) -> None:
        [event] = kucoin.session(["A-B"]).read(self.frame(10).replace('"sell"', '"SELL"'), 1)
        assert isinstance(event, Rejected)
        [event] = kucoin.session(["C-D"]).read(self.frame(10), 1)
        assert isinstance(event, Rejected)

    @pytest.mark.parametrize("field", ["sequence", "time"])
    @pytest.mark.parametrize("value", [12.7, "12.7", "1_2", " 12", "-12", "٣", "9" * 30, True, None, [12]])
    def test_no_id_or_time_is_guessed(self, field: str, value: Any) -> None:
        frame = json.loads(self.frame(10))
        frame["data"][field] = value
        [event] = kucoin.session(["A-B"]).read(json.dumps(frame), 1)
        assert isinstance(event, Rejected)
        assert "no integer: " in event.reason

    def test_a_hundred_symbols_are_subscribed_a_message(self) -> None:
        topics = [
            json.loads(message)["topic"] for message in kucoin.session([f"A{i}-B" for i in range(201)]).subscribe()
        ]
        assert [len(topic.split(",")) for topic in topics] == [100, 100, 1]
        assert topics[2] == "/market/match:A200-B"

    def test_the_ticket_names_the_address(self) -> None:
        ticket = {"code": "200000", "data": {"token": "T", "instanceServers": [{"endpoint": "wss://x/"}]}}
        assert kucoin.websocket_url(None, ticket, ["A-B"], "7") == "wss://x/?token=T&connectId=7"
        with pytest.raises(ValueError, match="kucoin: token not understood"):
            kucoin.websocket_url(None, {"code": "200000"}, ["A-B"], "7")

    @pytest.mark.parametrize(
        ("token", "endpoint"), [(None, "wss://x/"), ("T", None), ("T", "ftp://x/"), ("T\r\nHost: y", "wss://x/")]
    )
    def test_a_ticket_without_an_address_is_not_understood(self, token: Any, endpoint: Any) -> None:
        ticket = {"data": {"token": token, "instanceServers": [{"endpoint": endpoint}]}}
        with pytest.raises(ValueError, match="kucoin: token not understood"):
            kucoin.websocket_url(None, ticket, ["A-B"], "7")

    def test_recent_trades_attest_each_other(self) -> None:
        row = {"sequence": "12", "price": "1", "size": "2", "side": "buy", "time": 1545904567062140823}
        page = kucoin.read_trades("A-B", {"code": "200000", "data": [row, row | {"sequence": "9"}]}, 5)
        assert [(trade.prev_trade_id, trade.trade_id, trade.source) for trade in page] == [
            (None, 9, "rest"),
            (9, 12, "rest"),
        ]

    def test_the_exchanges_time_is_read(self) -> None:
        assert kucoin.time_request() == Request("/api/v1/timestamp", 3)
        assert kucoin.read_time({"code": "200000", "data": 1546837113087}) == 1546837113087000
        with pytest.raises(ValueError, match="time not understood"):
            kucoin.read_time({"code": "200000"})

    def test_candles_are_read_oldest_first(self) -> None:
        rows = [["1589971260", "3", "4", "5", "2", "10", "35"], ["1589971200", "1", "2", "2", "1", "3", "4.5"]]
        assert kucoin.read_candles("A-B", {"code": "200000", "data": rows})[0] == Candle(
            "kucoin", "A-B", 1589971200_000000, open=Decimal("1"), high=Decimal("2"), low=Decimal("1"),
            close=Decimal("2"), volume=Decimal("3"), quote_volume=Decimal("4.5"),
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("status", "answer", "refusal"),
        [
            (200, {"code": "200000", "data": []}, None),
            (200, {"code": "900001", "msg": "symbol not exists"}, Refusal("900001 symbol not exists", False)),
            (429, {"code": "429000", "msg": "Too many requests"}, Refusal("429000 Too many requests", True)),
            (502, None, Refusal("HTTP 502", True)),
        ],
    )
    def test_refusals_are_told_apart(self, status: int, answer: Any, refusal: Refusal | None) -> None:
        assert kucoin.read_refusal(status, answer) == refusal

    def test_headers_are_read(self) -> None:
        headers = {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "1997", "gw-ratelimit-reset": "2500"}
        assert kucoin.used_weight(headers) == 3
        assert kucoin.retry_after_s(headers) == 2.5
        assert kucoin.used_weight({}) is None
