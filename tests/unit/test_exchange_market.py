"""The simulated market: trades that can be told again, and a recording that stays what it was."""

import asyncio
import csv
import json
from itertools import pairwise
from pathlib import Path

import pytest

from local.exchange.binance_frames import kline_row
from local.exchange.candles import Candle, Candles, candle_of, merged
from local.exchange.decimals import formatter
from local.exchange.listing import UnknownSymbolSpec, expand, listing
from local.exchange.market import MarketChangeRefused, Segment, SymbolMarket, Trade, level_for
from local.exchange.recording import MINUTE_US, BadRecording, ReplayClock, read_recording
from local.exchange.settings import ExchangeSettings
from local.exchange.world import StateMismatch, World, open_world

RECORDED = Path(__file__).parents[1] / "recorded"
RECORDING = RECORDED / "TRXUSDT_trades_20250304.csv.gz"
NOW_US = 1_732_147_234_567_890
SECOND_US = 1_000_000


def market(exchange: str = "binance", symbol: str = "BTC-USDT", rate: float = 7.0, seed: int = 1) -> SymbolMarket:
    listed = listing(exchange, symbol, seed)
    return SymbolMarket(
        listed, seed, [Segment(NOW_US, 0, rate, level_for(listed, seed, listed.price, NOW_US))], []
    )


def world(state_dir: Path, now_us: int = NOW_US, **settings: object) -> World:
    return open_world(ExchangeSettings(state_dir=state_dir, **settings), lambda: now_us)  # type: ignore[arg-type]


def test_a_wrong_clock_shows_another_time_and_never_goes_back(tmp_path: Path) -> None:
    errors = {"binance": 0, "kucoin": 0}
    one = open_world(
        ExchangeSettings(state_dir=tmp_path, rate=700, symbols=["binance:1", "kucoin:1"]),
        lambda: NOW_US,
        errors.__getitem__,
    )
    binance, kucoin = one.of("binance")[0], one.of("kucoin")[0]
    before = one.count_of(binance), one.count_of(kucoin)
    errors["binance"] = 5 * SECOND_US
    assert (one.time_of(binance), one.time_of(kucoin)) == (NOW_US + 5 * SECOND_US, NOW_US)
    ahead = one.count_of(binance)
    assert (ahead > before[0] + 1000, one.count_of(kucoin)) == (True, before[1])
    errors["binance"] = -5 * SECOND_US
    assert (one.time_of(binance), one.count_of(binance)) == (NOW_US + 5 * SECOND_US, ahead)


@pytest.mark.parametrize("rate", [0.05, 1.0, 7.0, 333.3, 20_000.0])
@pytest.mark.parametrize("exchange", ["binance", "kucoin"])
def test_ids_grow_times_never_fall_and_every_index_is_found_again(exchange: str, rate: float) -> None:
    one = market(exchange, rate=rate)
    trades = list(one.trades(0, 1000))
    ids, times = [t.trade_id for t in trades], [t.traded_at_us for t in trades]
    assert times == sorted(times)
    assert [one.index_of(trade_id) for trade_id in ids] == list(range(1000))
    assert [one.index_of(trade_id + 1) for trade_id in ids] == list(range(1, 1001))
    steps = {later - earlier for earlier, later in pairwise(ids)}
    assert steps == {1} if exchange == "binance" else min(steps) >= 2 and max(steps) <= 30 and len(steps) > 5
    for index in range(1, 1000, 13):
        assert one.index_at(times[index]) == times.index(times[index])
        assert one.index_at(times[index] + 1) == len(times) - times[::-1].index(times[index])


def test_the_same_seed_tells_the_same_trades_in_any_order_of_asking() -> None:
    backwards = market()
    again = [next(backwards.trades(index, index + 1)) for index in reversed(range(300))][::-1]
    assert again == list(market().trades(0, 300))
    assert list(market(seed=2).trades(0, 300)) != again


def test_prices_stay_near_their_level_and_both_exchanges_move_together() -> None:
    binance, kucoin = (
        [next(one.trades(index, index + 1)).price for index in range(0, 86_400 * 7, 2000)]
        for one in (market(), market("kucoin"))
    )
    assert 50_000_00 < min(binance) < max(binance) < 90_000_00
    assert max(abs(a - b) / a for a, b in zip(binance, kucoin, strict=True)) < 0.005
    assert max(binance) / min(binance) > 1.005


def test_another_rate_leaves_the_past_as_it_was() -> None:
    changed, before = market(), list(market().trades(0, 400))
    at_us = NOW_US + 30 * SECOND_US
    happened = changed.index_at(at_us)
    changed.change_rate(at_us, 100.0)
    assert list(changed.trades(0, happened)) == before[:happened]
    later = list(changed.trades(happened, happened + 100))
    assert [t.trade_id for t in later] == [t.trade_id for t in before[happened : happened + 100]]
    assert at_us <= later[0].traded_at_us <= later[-1].traded_at_us < at_us + 2 * SECOND_US


def test_a_halt_is_a_gap_in_time_without_one_in_the_ids() -> None:
    one = market()
    from_us, until_us = NOW_US + 10 * SECOND_US, NOW_US + 100 * SECOND_US
    one.halt(from_us, until_us)
    happened = one.index_at(from_us)
    assert one.index_at(until_us) == happened
    last, first = one.trades(happened - 1, happened + 1)
    assert (first.trade_id - last.trade_id, last.traded_at_us < from_us, first.traded_at_us >= until_us) == (
        1, True, True,
    )  # fmt: skip
    with pytest.raises(MarketChangeRefused, match=f"binance:BTC-USDT: halted.*until {until_us} us"):
        one.change_rate(from_us + 1, 5.0)
    one.end_halt(from_us + 5 * SECOND_US)
    assert (
        from_us + 5 * SECOND_US <= next(one.trades(happened, happened + 1)).traded_at_us < from_us + 8 * SECOND_US
    )
    assert one.index_at(until_us) > happened


def test_the_recordings_minutes_equal_the_exchanges_klines_in_every_field(tmp_path: Path) -> None:
    with (RECORDED / "TRXUSDT_1m_klines_20250304.csv").open(newline="") as file:
        official = [list(row.values()) for row in csv.DictReader(file)]
    one = world(tmp_path, recording=RECORDING, replay="past")
    trx = one.markets["binance:TRX-USDT"]
    first_us = int(official[0][0]) * 1000 + one.shift_us
    assert one.shift_us % MINUTE_US == 0

    async def rows() -> list[list[str]]:
        between = Candles().between(trx, first_us, first_us + 15 * MINUTE_US, NOW_US)
        return [[str(field) for field in kline_row(trx.listing, c, 1000)] async for c in between]

    moved_ms = one.shift_us // 1000
    expected = [
        [str(int(row[0]) + moved_ms), *row[1:6], str(int(row[6]) + moved_ms), *row[7:]] for row in official[:16]
    ]
    assert asyncio.run(rows()) == expected


def test_recorded_trades_keep_ids_prices_quantities_and_relative_times(tmp_path: Path) -> None:
    one = world(tmp_path, recording=RECORDING, replay="past")
    recording, trx = read_recording(RECORDING), one.markets["binance:TRX-USDT"]
    first = trx.index_of(recording.first_id)
    assert list(trx.trades(first, first + 10_000)) == [
        Trade(recording.first_id + n, raw.traded_at_us + one.shift_us, raw.price, raw.quantity, raw.taker_buys)
        for n, raw in enumerate(recording.trades)
    ]
    around = list(trx.trades(first - 500, first + 10_500))
    assert [t.trade_id for t in around] == list(range(recording.first_id - 500, recording.first_id + 10_500))
    assert [t.traded_at_us for t in around] == sorted(t.traded_at_us for t in around)
    assert sum(t.price == 0 for t in around) == 1


def test_a_replay_is_never_ahead_of_the_clock_and_ends_in_the_present(tmp_path: Path) -> None:
    waiting = world(tmp_path, recording=RECORDING, speed=20.0)
    clock = waiting.clock
    assert clock is not None
    assert clock.state_at(NOW_US) == "waiting"
    market = waiting.markets["binance:TRX-USDT"]
    first = market.index_of(548_321_769)
    recorded_at_us = next(market.trades(first, first + 1)).traded_at_us
    assert clock.start_us == recorded_at_us // (60 * SECOND_US) * 60 * SECOND_US - 60 * SECOND_US
    assert waiting.count_of(market) == market.index_at(clock.start_us)
    waiting.begin_replay()
    started = waiting.clock
    assert started is not None
    times = [(second, started.time_at(NOW_US + second * SECOND_US)) for second in range(0, 300, 5)]
    assert all(time_us <= NOW_US + second * SECOND_US for second, time_us in times)
    assert [time_us for _, time_us in times] == sorted({time_us for _, time_us in times})
    assert started.time_at(NOW_US + 120 * SECOND_US) == NOW_US + 120 * SECOND_US
    assert started.state_at(NOW_US + 10 * SECOND_US) == "playing"
    assert started.state_at(NOW_US + 120 * SECOND_US) == "over"


def test_a_replay_at_real_speed_catches_up_after_its_end() -> None:
    clock = ReplayClock(NOW_US - 50 * SECOND_US, NOW_US + 950 * SECOND_US, 1.0, NOW_US)
    assert clock.time_at(NOW_US + 10 * SECOND_US) == NOW_US - 40 * SECOND_US
    assert clock.time_at(NOW_US + 1100 * SECOND_US) == NOW_US + 1100 * SECOND_US


def test_a_restart_goes_on_with_the_same_past_and_with_trades_for_the_time_it_was_down(tmp_path: Path) -> None:
    before = world(tmp_path, recording=RECORDING, replay="start", rate=40.0)
    before.begin_replay()
    before.markets["binance:BTC-USDT"].change_rate(NOW_US + 5, 3.0)
    before.save()
    after = world(tmp_path, NOW_US + 3600 * SECOND_US, recording=RECORDING, replay="start", rate=40.0)
    assert after.clock == before.clock
    for key, one in before.markets.items():
        count = one.index_at(NOW_US + 3600 * SECOND_US)
        assert after.count_of(after.markets[key]) == count
        assert list(after.markets[key].trades(count - 2000, count)) == list(one.trades(count - 2000, count))


def test_another_rate_setting_holds_from_the_restart_on(tmp_path: Path) -> None:
    before = world(tmp_path, symbols=["binance:BTC-USDT"], rate=2.0)
    restart_us = NOW_US + 60 * SECOND_US
    after = world(tmp_path, restart_us, symbols=["binance:BTC-USDT"], rate=10.0)
    one, other = before.markets["binance:BTC-USDT"], after.markets["binance:BTC-USDT"]
    count = one.index_at(restart_us)
    assert list(other.trades(0, count)) == list(one.trades(0, count))
    assert 550 < other.index_at(restart_us + 60 * SECOND_US) - count < 650


def test_a_state_folder_refuses_other_settings(tmp_path: Path) -> None:
    world(tmp_path, seed=1)
    with pytest.raises(StateMismatch, match=r"EXCHANGE_SEED=2, but .* was made with 1"):
        world(tmp_path, seed=2)
    with pytest.raises(StateMismatch, match=r"EXCHANGE_RECORDING: .* was made without one"):
        world(tmp_path, recording=RECORDING)
    state = json.loads((tmp_path / "market.json").read_text())
    (tmp_path / "market.json").write_text(json.dumps(state | {"format": 99}))
    with pytest.raises(StateMismatch, match="written by another version"):
        world(tmp_path)


def test_a_file_that_is_no_recording_is_refused_by_name(tmp_path: Path) -> None:
    bad = tmp_path / "x.csv.gz"
    bad.write_bytes(b"not gzip")
    with pytest.raises(BadRecording, match=r"EXCHANGE_RECORDING .*x\.csv\.gz"):
        read_recording(bad)


def test_symbols_are_listed_by_name_or_by_number() -> None:
    assert expand(["binance:BTC-USDT", "kucoin:2", "kucoin:ETH-USDT", "binance:币安人生-USDT"]) == [
        ("binance", "BTC-USDT"), ("kucoin", "BTC-USDT"), ("kucoin", "ETH-USDT"), ("binance", "币安人生-USDT"),
    ]  # fmt: skip
    assert len(expand(["binance:3000"])) == 3000
    for wrong in ("BTC-USDT", "okx:BTC-USDT", "binance:BTCUSDT", "binance:"):
        with pytest.raises(UnknownSymbolSpec, match=wrong):
            expand([wrong])


def test_numbers_are_printed_as_the_exchanges_do() -> None:
    assert [formatter(2, "padded")(v) for v in (0, 5, 6700001)] == ["0.00000000", "0.05000000", "67000.01000000"]
    assert [formatter(0, "padded")(v) for v in (0, 243)] == ["0.00000000", "243.00000000"]
    assert [formatter(5, "kept")(v) for v in (0, 23030)] == ["0.00000", "0.23030"]
    assert [formatter(3, "trimmed")(v) for v in (0, 1500, 1234, 100000)] == ["0", "1.5", "1.234", "100"]


def test_the_parts_of_a_minute_make_its_candle() -> None:
    trades = [Trade(n, NOW_US + n, price, 10 + n, n % 2 == 0) for n, price in enumerate((50, 70, 0, 40, 60))]
    whole = candle_of(NOW_US, trades)
    volume, quote = 10 + 11 + 13 + 14, 500 + 770 + 520 + 840
    assert whole == Candle(NOW_US, 50, 70, 40, 60, volume, quote, 4, 24, 1340, 0, 4)
    for cut in range(len(trades) + 1):
        assert merged(candle_of(NOW_US, trades[:cut]), candle_of(NOW_US, trades[cut:])) == whole
