"""The past over REST and in files, of a simulated exchange that has had a few whole days."""

import hashlib
import io
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from local.exchange.faults import RestError
from local.exchange.launch import Simulator, simulator
from producer.bulk_files import BulkFileBroken, BulkFiles, NoBulkFile
from producer.history import History, HistoryError

SYMBOL = "BTC-USDT"
DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Two symbols, a trade in ten seconds each, for three days."""
    with simulator(
        tmp_path_factory.mktemp("exchange"),
        symbols="binance:BTC-USDT,kucoin:BTC-USDT",
        rate=0.2,
        past_minutes=3 * 1440,
    ) as one:
        yield one


@pytest.fixture
def yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def start_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def test_the_first_trade_from_a_time_on_is_found(exchange: Simulator, yesterday: date) -> None:
    from_us = start_us(yesterday)
    true = exchange.control.true_trades("binance", SYMBOL, from_us, from_us + 3_600_000_000)
    with History("binance", exchange.url, weight_share=0.2) as history:
        assert history.first_id(SYMBOL, from_us) == true[0].trade_id
        at_us = true[20].traded_at_us // 1000 * 1000
        assert history.first_id(SYMBOL, at_us) == next(t.trade_id for t in true if t.traded_at_us >= at_us)
        assert history.first_id(SYMBOL, 0) is not None
        assert history.first_id(SYMBOL, time.time_ns() // 1000 + DAY_US) is None
    with (
        History("kucoin", exchange.url, weight_share=0.2) as history,
        pytest.raises(HistoryError, match="kucoin BTC-USDT: the exchange finds no trades by time"),
    ):
        history.first_id(SYMBOL, from_us)


def test_a_days_file_holds_the_trades_that_rest_gives(exchange: Simulator, yesterday: date) -> None:
    with BulkFiles("binance", exchange.url) as files, History("binance", exchange.url, weight_share=1) as history:
        assert files.has_trades(SYMBOL, yesterday)
        first_id = history.first_id(SYMBOL, start_us(yesterday))
        after = history.first_id(SYMBOL, start_us(yesterday) + DAY_US)
        assert first_id is not None
        assert after is not None
        from_file = [t for some in files.trades(SYMBOL, yesterday, first_id, after - 1) for t in some]
        by_rest = [t for page in history.trades(SYMBOL, first_id, after - 1) for t in page]
        some = [t.trade_id for p in files.trades(SYMBOL, yesterday, first_id + 3, first_id + 5) for t in p]
    assert [(t.trade_id, t.price, t.quantity, t.taker_side, t.traded_at_us) for t in from_file] == [
        (t.trade_id, t.price, t.quantity, t.taker_side, t.traded_at_us) for t in by_rest
    ]
    assert {t.source for t in from_file} == {"rest"}
    assert len(from_file) == after - first_id > 8_000
    assert some == [first_id + 3, first_id + 4, first_id + 5]


def test_a_days_file_holds_the_candles_that_rest_gives(exchange: Simulator, yesterday: date) -> None:
    with BulkFiles("binance", exchange.url) as files, History("binance", exchange.url, weight_share=1) as history:
        assert files.candles(SYMBOL, yesterday) == (
            candles := history.candles(SYMBOL, start_us(yesterday), start_us(yesterday) + DAY_US)
        )
    assert len(candles) == 1440
    assert sum(candle.volume for candle in candles) > Decimal(0)


def test_there_is_no_file_of_a_day_that_is_not_over_nor_of_an_exchange_without_files(
    exchange: Simulator, yesterday: date
) -> None:
    today = datetime.now(UTC).date()
    with BulkFiles("binance", exchange.url) as files:
        assert not files.has_trades(SYMBOL, today)
        assert not files.has_trades("GONE-USDT", yesterday)
        with pytest.raises(NoBulkFile, match=rf"binance .*BTCUSDT-trades-{today}\.zip: not there \(HTTP 404\)"):
            list(files.trades(SYMBOL, today, 0, 2**62))
    for files in (BulkFiles("kucoin", exchange.url), BulkFiles("binance", "")):
        with files:
            assert not files.has_trades(SYMBOL, yesterday)
            with pytest.raises(NoBulkFile, match="the exchange publishes no files"):
                list(files.trades(SYMBOL, yesterday, 0, 2**62))


def test_a_file_whose_checksum_differs_gives_no_trade(exchange: Simulator) -> None:
    day = datetime.now(UTC).date() - timedelta(days=2)
    with BulkFiles("binance", exchange.url) as files:
        candles = files.candles(SYMBOL, day)
        path = exchange.log.parent / "bulk" / f"BTCUSDT-1m-{day}.zip"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"?")
        with pytest.raises(
            BulkFileBroken, match=r"its SHA-256 is [0-9a-f]{64}, and the exchange's \.CHECKSUM says"
        ):
            files.candles(SYMBOL, day)
        path.write_bytes(whole)
        exchange.control.inject(RestError(status=503, count=2, path="/data/"))
        assert files.candles(SYMBOL, day) == candles
        exchange.control.inject(RestError(status=503, count=3, path="/data/"))
        with pytest.raises(BulkFileBroken, match="HTTP 503"):
            files.candles(SYMBOL, day)


def test_files_are_zips_of_one_csv_without_header_as_the_exchange_makes_them(
    exchange: Simulator, yesterday: date
) -> None:
    path = f"{exchange.url}/data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-{yesterday}.zip"
    content = httpx.get(path).content
    told = httpx.get(f"{path}.CHECKSUM").text
    assert told == f"{hashlib.sha256(content).hexdigest()}  BTCUSDT-trades-{yesterday}.zip\n"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"BTCUSDT-trades-{yesterday}.csv"]
        first = archive.read(archive.namelist()[0]).decode().splitlines()[0].split(",")
    true = exchange.control.true_trades("binance", SYMBOL, start_us(yesterday), start_us(yesterday) + 60_000_000)
    assert (int(first[0]), int(first[4]), first[5] == "False") == (
        true[0].trade_id,
        true[0].traded_at_us,
        true[0].taker_side == "buy",
    )
    for wrong in (
        f"daily/trades/BTCUSDT/ETHUSDT-trades-{yesterday}.zip",
        f"daily/trades/BTCUSDT/BTCUSDT-1m-{yesterday}.zip",
        f"monthly/trades/BTCUSDT/BTCUSDT-trades-{yesterday}.zip",
        "monthly/trades/BTCUSDT/BTCUSDT-trades-2999-01.zip",
        "daily/trades/BTCUSDT/BTCUSDT-trades-2025-02-30.zip",
    ):
        assert httpx.get(f"{exchange.url}/data/spot/{wrong}").status_code == 404
