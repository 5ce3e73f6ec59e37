"""Which symbols the pipeline carries: `symbols.yaml`, or ACTIVE_SYMBOLS where it is set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from producer.exchanges import EXCHANGES
from producer.trade import is_symbol


@dataclass(frozen=True, slots=True)
class ActiveSymbol:
    """A symbol to carry. Of two, the one of the lower priority number is served first."""

    exchange: str
    name: str
    priority: int = 1


class SymbolsError(ValueError):
    """What is wrong with the choice of symbols, where, and what to write instead."""


def load_symbols(file: Path, active: str = "") -> list[ActiveSymbol]:
    """The symbols to carry, by priority, then in the order of the file.

    file: see the comments in `symbols.yaml`. active: `binance:BTC-USDT,kucoin:ETH-USDT` chooses these instead,
    whether the file knows them or not. Raises SymbolsError.
    """
    if active.strip():
        chosen = [_named(entry.strip()) for entry in active.split(",") if entry.strip()]
    else:
        chosen = _read(file)
    seen: set[tuple[str, str]] = set()
    for symbol in chosen:
        if (symbol.exchange, symbol.name) in seen:
            raise SymbolsError(f"{symbol.exchange}:{symbol.name} stands twice: name each symbol once")
        seen.add((symbol.exchange, symbol.name))
    if not chosen:
        raise SymbolsError(f"no symbol is enabled: enable one in {file} or set ACTIVE_SYMBOLS")
    return sorted(chosen, key=lambda symbol: symbol.priority)


def _named(entry: str) -> ActiveSymbol:
    exchange, colon, name = entry.partition(":")
    if not colon:
        raise SymbolsError(f"ACTIVE_SYMBOLS: {entry!r} is not of the form binance:BTC-USDT")
    return _checked("ACTIVE_SYMBOLS", exchange, name, 1)


def _read(file: Path) -> list[ActiveSymbol]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SymbolsError(f"{file} cannot be read ({error.strerror}): set SYMBOLS_FILE") from error
    except yaml.YAMLError as error:
        raise SymbolsError(f"{file} is not YAML: {error}") from error
    tiers = content.get("tiers") if isinstance(content, dict) else None
    if not isinstance(tiers, dict):
        raise SymbolsError(f"{file}: the key `tiers` is missing")
    found = []
    for tier, entries in tiers.items():
        if not isinstance(entries, list):
            raise SymbolsError(f"{file}, tier {tier}: not a list of symbols")
        found += [symbol for entry in entries if (symbol := _entry(f"{file}, tier {tier}", entry))]
    return found


def _entry(where: str, entry: Any) -> ActiveSymbol | None:
    """The symbol of one entry of the file; None where it is not enabled."""
    if not isinstance(entry, dict) or not {"exchange", "name"} <= entry.keys():
        raise SymbolsError(f"{where}: {entry!r} needs at least `exchange` and `name`")
    where = f"{where}, {entry['exchange']}:{entry['name']}"
    if unknown := entry.keys() - {"exchange", "name", "priority", "enabled", "streams"}:
        raise SymbolsError(f"{where}: unknown field {', '.join(sorted(map(str, unknown)))}")
    priority, enabled = _typed(where, entry, "priority", 1, int), _typed(where, entry, "enabled", True, bool)
    streams = _typed(where, entry, "streams", ["trade"], list)
    if unsupported := [str(stream) for stream in streams if stream != "trade"]:
        raise SymbolsError(f"{where}: stream {', '.join(unsupported)} is not supported yet, only trade is")
    symbol = _checked(where, str(entry["exchange"]), str(entry["name"]), priority)
    return symbol if enabled else None


def _typed(where: str, entry: Mapping[str, Any], name: str, default: Any, kind: type) -> Any:
    value = entry.get(name, default)
    if type(value) is not kind:
        raise SymbolsError(f"{where}: {name} must be {kind.__name__}, not {value!r}")
    return value


def _checked(where: str, exchange: str, name: str, priority: int) -> ActiveSymbol:
    if exchange not in EXCHANGES:
        raise SymbolsError(f"{where}: unknown exchange {exchange!r}, known: {', '.join(sorted(EXCHANGES))}")
    if not is_symbol(name):
        raise SymbolsError(f"{where}: {name!r} is no symbol: write upper case with one hyphen, as BTC-USDT")
    return ActiveSymbol(exchange, name, priority)
