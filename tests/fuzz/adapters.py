"""What must hold of an adapter, whatever the exchange sends.

Only the errors that its protocol documents, and only trades that are what the exchange's JSON says.

An input is a letter, which says what is read, and what it reads.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from fuzz.seeds import RECEIVED_AT_US
from fuzz.wire import check_written

from producer.exchanges.adapter import Adapter, Candle, Newest, Refusal, Rejected, adapter_of
from producer.trade import Trade

SYMBOLS: Mapping[str, tuple[str, ...]] = {
    "binance": ("TRX-USDT", "BTC-USDT"),
    "kucoin": ("DAPPT-BTC", "ANKR-BTC", "EQZ-BTC", "FET-BTC", "BCHSV-USDT"),
}
# Where an exchange says a trade's id, price, quantity, time and side: in a frame, and in an answer.
FIELDS: Mapping[tuple[str, str], tuple[str, str, str, str, str]] = {
    ("binance", "ws"): ("t", "p", "q", "T", "m"),
    ("binance", "rest"): ("id", "price", "qty", "time", "isBuyerMaker"),
    ("kucoin", "ws"): ("sequence", "price", "size", "time", "side"),
    ("kucoin", "rest"): ("sequence", "price", "size", "time", "side"),
}
_LONGEST_TEXT = 2000  # of what is logged about one frame


def checker(exchange: str) -> Callable[[bytes], None]:
    """The check of one exchange's adapter."""
    adapter, symbols = adapter_of(exchange), SYMBOLS[exchange]

    def check(data: bytes) -> None:
        read = _READERS.get(data[:1], _frames)
        read(exchange, adapter, symbols, data[1:])

    return check


def _frames(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    """Frames of one connection, each a line."""
    session = adapter.session(symbols)
    session.on_open()
    last_ids: dict[str, int | None] = dict.fromkeys(symbols)
    for number, frame in enumerate(data.split(b"\n")):
        text: bytes | str = frame if number % 2 else frame.decode(errors="surrogateescape")
        events = session.read(text, RECEIVED_AT_US)
        assert len(events) == 1
        [event] = events
        if isinstance(event, Trade):
            assert event.symbol in symbols
            _is_what_was_sent(event, _spoken(frame))
            check_written(event)
            if exchange == "kucoin":
                assert event.prev_trade_id in (None, last_ids[event.symbol])
                last_ids[event.symbol] = max(event.trade_id, last_ids[event.symbol] or event.trade_id)
        else:
            if isinstance(event, Rejected):
                _attests_nothing(last_ids, frame)
            _is_short(event.reason if isinstance(event, Rejected) else repr(event))


def _trades(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    rows = _read(data, lambda answer: adapter.read_trades(symbols[0], answer, RECEIVED_AT_US))
    if rows:
        answer = orjson.loads(data)
        page = answer if isinstance(answer, list) else answer["data"]
        sent = sorted(page, key=lambda row: _exact_int(row[FIELDS[exchange, "rest"][0]]))
        for trade, row in zip(rows, sent, strict=True):
            assert trade.symbol == symbols[0]
            _is_what_was_sent(trade, row)
            check_written(trade)
        ids = [trade.trade_id for trade in rows]
        assert ids == sorted(ids)


def _candles(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    for candle in _read(data, lambda answer: adapter.read_candles(symbols[0], answer)) or ():
        _is_sound(candle, exchange, symbols[0])


def _first_id(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    if adapter.first_id_request(symbols[0], 0) is not None:
        first_id = _read(data, lambda answer: adapter.read_first_id(symbols[0], answer))
        assert first_id is None or (type(first_id) is int and first_id >= 0)


def _time(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    now_us = _read(data, adapter.read_time)
    assert now_us is None or type(now_us) is int


def _newest(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    if adapter.newest_request(symbols) is not None:
        for symbol, newest in (_read(data, lambda answer: adapter.read_newest(symbols, answer)) or {}).items():
            assert symbol in symbols
            assert isinstance(newest, Newest)
            assert type(newest.trade_id) is int
            assert newest.trade_id >= 0


def _refusal(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    """The first byte is the HTTP status: 200 to 599."""
    status = 200 + (data[0] * 2 if data else 0)
    try:
        answer = orjson.loads(data[1:])
    except orjson.JSONDecodeError:
        answer = None
    refusal = adapter.read_refusal(min(status, 599), answer)
    if refusal is not None:
        assert isinstance(refusal, Refusal)
        _is_short(refusal.reason)


def _headers(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    """One value for every header that an adapter looks at."""
    value = data.decode("latin-1")
    names = ("x-mbx-used-weight-1m", "retry-after", "gw-ratelimit-limit", "gw-ratelimit-remaining")
    headers = dict.fromkeys((*names, "gw-ratelimit-reset"), value)
    used = adapter.used_weight(headers)
    assert used is None or type(used) is int
    wait_s = adapter.retry_after_s(headers)
    assert wait_s is None or (math.isfinite(wait_s) and wait_s >= 0)


def _ticket(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    url = _read(data, lambda ticket: adapter.websocket_url(None, ticket, symbols, "c1"))
    if url is not None:
        assert url.startswith(("wss://", "ws://"))
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url


def _file_of_trades(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    if adapter.BULK_URL is not None:
        row = data.decode(errors="replace").split(",")
        trade = _or_none(lambda: adapter.read_trades_row(symbols[0], row, RECEIVED_AT_US))
        if trade is not None:
            assert (str(trade.trade_id), Decimal(row[1])) == (row[0].lstrip("0") or "0", trade.price)
            check_written(trade)


def _file_of_candles(exchange: str, adapter: Adapter, symbols: tuple[str, ...], data: bytes) -> None:
    if adapter.BULK_URL is not None:
        row = data.decode(errors="replace").split(",")
        candle = _or_none(lambda: adapter.read_candles_row(symbols[0], row))
        if candle is not None:
            _is_sound(candle, exchange, symbols[0])


_READERS: Mapping[bytes, Callable[[str, Adapter, tuple[str, ...], bytes], None]] = {
    b"w": _frames,
    b"t": _trades,
    b"c": _candles,
    b"f": _first_id,
    b"m": _time,
    b"n": _newest,
    b"r": _refusal,
    b"h": _headers,
    b"k": _ticket,
    b"b": _file_of_trades,
    b"l": _file_of_candles,
}


def _read(data: bytes, read: Callable[[Any], Any]) -> Any:
    """What an answer that is JSON at all is read as; None where the adapter says that it does not understand."""
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return _or_none(lambda: read(answer))


def _or_none(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ValueError as refusal:
        told = str(refusal)
    assert told.startswith(tuple(SYMBOLS))  # says where
    _is_short(told)
    return None


def _is_what_was_sent(trade: Trade, row: Mapping[str, Any]) -> None:
    """No field of a trade is guessed: types are those that the exchange documents, and numbers are exact."""
    trade_id, price, quantity, time, side = (row[name] for name in FIELDS[trade.exchange, trade.source])
    assert trade.trade_id == _exact_int(trade_id)
    for ours, text in ((trade.price, price), (trade.quantity, quantity)):
        assert type(text) is str
        assert text.isascii()
        assert "_" not in text
        assert text == text.strip()
        assert ours == Decimal(text)
        assert ours.is_finite()
    told = _exact_int(time)
    assert trade.traded_at_us in (told * 1000, told, told // 1000)
    assert (trade.taker_side, side) in (("sell", True), ("buy", False), ("sell", "sell"), ("buy", "buy"))


def _spoken(frame: bytes) -> Mapping[str, Any]:
    message: Mapping[str, Any] = orjson.loads(frame)
    found: Mapping[str, Any] = message.get("data", message)
    return found


def _exact_int(value: Any) -> int:
    """The integer that is spelled, as a number or as a text."""
    assert type(value) in (int, str)
    assert type(value) is int or (value.isascii() and value.isdecimal())
    return int(value)


def _attests_nothing(last_ids: dict[str, int | None], frame: bytes) -> None:
    """After a frame that may have held a trade of a symbol, none of it may be attested to follow the last."""
    try:
        symbol = str(orjson.loads(frame)["topic"]).removeprefix("/market/match:")
    except (orjson.JSONDecodeError, TypeError, KeyError, RecursionError):
        symbol = ""
    last_ids.update(dict.fromkeys([symbol] if symbol in last_ids else last_ids))


def _is_sound(candle: Candle, exchange: str, symbol: str) -> None:
    assert (candle.exchange, candle.symbol) == (exchange, symbol)
    assert type(candle.opened_at_us) is int
    assert all(number.is_finite() for number in (candle.open, candle.high, candle.low, candle.close))
    # 60 digits on either side of the point, and an exponent of two digits
    assert all(abs(number.adjusted()) < 160 for number in (candle.volume, candle.quote_volume) if number)
    assert candle.volume.is_finite()
    assert candle.quote_volume.is_finite()


def _is_short(text: str) -> None:
    assert len(text) <= _LONGEST_TEXT
