"""The choice of symbols: the file, the variable that overrides it, and what is said of mistakes."""

from pathlib import Path

import pytest

from producer.symbols import ActiveSymbol, SymbolsError, load_symbols

SHIPPED = Path(__file__).parent.parent.parent / "symbols.yaml"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "symbols.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_shipped_file_is_read() -> None:
    symbols = load_symbols(SHIPPED)
    assert symbols[0] == ActiveSymbol("binance", "BTC-USDT", 1)
    assert ActiveSymbol("binance", "TRX-USDT", 1) in symbols


def test_enabled_symbols_come_by_priority(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "tiers:\n  a:\n  - {exchange: binance, name: B-USDT, priority: 2}\n  - {exchange: kucoin, name: C-USDT}\n"
        "  b:\n  - {exchange: binance, name: D-USDT, enabled: false}\n  - {exchange: binance, name: 币-USDT}\n",
    )
    assert load_symbols(file) == [
        ActiveSymbol("kucoin", "C-USDT", 1),
        ActiveSymbol("binance", "币-USDT", 1),
        ActiveSymbol("binance", "B-USDT", 2),
    ]


def test_the_variable_overrides_the_file(tmp_path: Path) -> None:
    active = " binance:TRX-USDT, kucoin:BTC-USDT,"
    assert load_symbols(tmp_path / "absent.yaml", active) == [
        ActiveSymbol("binance", "TRX-USDT"),
        ActiveSymbol("kucoin", "BTC-USDT"),
    ]


@pytest.mark.parametrize(
    ("active", "reason"),
    [
        ("BTC-USDT", "ACTIVE_SYMBOLS: 'BTC-USDT' is not of the form binance:BTC-USDT"),
        ("okx:BTC-USDT", "ACTIVE_SYMBOLS: unknown exchange 'okx', known: binance, kucoin"),
        ("binance:btcusdt", "ACTIVE_SYMBOLS: 'btcusdt' is no symbol"),
        ("binance:BTC-USDT,binance:BTC-USDT", "binance:BTC-USDT stands twice"),
        (" , ", "no symbol is enabled"),
    ],
)
def test_a_mistake_in_the_variable_is_named(tmp_path: Path, active: str, reason: str) -> None:
    with pytest.raises(SymbolsError, match=reason):
        load_symbols(tmp_path, active)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tiers: [", "is not YAML"),
        ("a: 1", "the key `tiers` is missing"),
        ("tiers: {a: 1}", "tier a: not a list"),
        ("tiers: {a: [BTC-USDT]}", "tier a: 'BTC-USDT' needs at least `exchange` and `name`"),
        (
            "tiers: {a: [{exchange: binance, name: A-B, stream: [trade]}]}",
            "tier a, binance:A-B: unknown field stream",
        ),
        ("tiers: {a: [{exchange: binance, name: A-B, enabled: 1}]}", "enabled must be bool, not 1"),
        ("tiers: {a: [{exchange: binance, name: A-B, priority: high}]}", "priority must be int, not 'high'"),
        (
            "tiers: {a: [{exchange: binance, name: A-B, streams: [trade, depth]}]}",
            "tier a, binance:A-B: stream depth is not supported yet, only trade is",
        ),
        ("tiers: {a: [{exchange: binance, name: A-B, enabled: false}]}", "no symbol is enabled"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SymbolsError, match=reason):
        load_symbols(written(tmp_path, text))


def test_an_absent_file_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SymbolsError, match=r"cannot be read .*: set SYMBOLS_FILE"):
        load_symbols(tmp_path / "absent.yaml")
