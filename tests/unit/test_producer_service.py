"""How symbols are spread, and what a bad setting leads to."""

import subprocess
import sys
from pathlib import Path

import pytest

from producer.exchanges import binance, kucoin
from producer.service import divide, shard
from producer.settings import ProducerSettings
from producer.symbols import ActiveSymbol


def test_a_thousand_symbols_spread_over_connections_evenly() -> None:
    symbols = [f"S{number}-USDT" for number in range(1000)]
    groups = divide(symbols, kucoin.LIMITS.symbols_per_connection)
    assert sorted(map(len, groups)) == [250, 250, 250, 250]
    assert sorted(symbol for group in groups for symbol in group) == sorted(symbols)
    assert divide(symbols[:300], 300) == [symbols[:300]]
    assert divide([], 300) == []


def test_shards_carry_every_symbol_once() -> None:
    symbols = [ActiveSymbol("binance", f"S{number}-USDT") for number in range(11)]
    shards = [shard(symbols, index, 3) for index in range(3)]
    assert [len(part) for part in shards] == [4, 4, 3]
    assert sorted(symbol.name for part in shards for symbol in part) == sorted(s.name for s in symbols)


def test_an_exchange_has_its_own_addresses_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BINANCE_WS_URL", "BINANCE_REST_URL", "KUCOIN_REST_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = ProducerSettings()
    assert (settings.websocket_url("binance"), settings.rest_url("binance")) == (binance.WS_URL, binance.REST_URL)
    assert (settings.websocket_url("kucoin"), settings.rest_url("kucoin")) == (None, kucoin.REST_URL)
    monkeypatch.setenv("KUCOIN_REST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("BINANCE_WS_URL", "ws://127.0.0.1:2")
    settings = ProducerSettings()
    assert (settings.websocket_url("binance"), settings.rest_url("kucoin")) == (
        "ws://127.0.0.1:2",
        "http://127.0.0.1:1",
    )


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"BUFFER_MB": "much"}, "BUFFER_MB: "),
        ({"REST_WEIGHT_SHARE": "1.5"}, "REST_WEIGHT_SHARE: "),
        ({"SHARD_INDEX": "2", "SHARD_COUNT": "2"}, "SHARD_INDEX=2 must be below SHARD_COUNT=2"),
        ({"ACTIVE_SYMBOLS": "binance"}, "ACTIVE_SYMBOLS: 'binance' is not of the form"),
        ({"SYMBOLS_FILE": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
    ],
)
def test_a_bad_setting_fails_at_start_naming_the_variable(
    environ: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "producer"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, complaint in ended.stderr) == (2, True), ended.stderr
