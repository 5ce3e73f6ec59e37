"""What must hold of the kernel: thousands of messages at once are read as the contract says, message by message.

An input is the source of one call: what it holds are messages to begin with, and the seed of all that is random.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from random import Random
from typing import Any

from fuzz.mutate import mutate
from fuzz.seeds import messages as seed_messages
from model import contract, market, reference

from producer.trade import MalformedTrade, Trade, from_wire
from spark_processor import kernel

MESSAGES = 4000
Symbol = tuple[str, str]
Range = tuple[int, int]  # the ids [from, to]

_MADE_UP = [
    (exchange, f"{name}-USDT") for exchange in ("binance", "kucoin") for name in ("AAA", "1B", "币安", "Ж")
]


def check(data: bytes) -> None:
    """One call of the kernel on messages made of this input, compared with the contract's reading of each."""
    random = Random(sha256(data).digest())
    values, coverage = _messages(random, data), _coverage(random)
    accepted: list[Trade] = []
    refused: dict[int, str | None] = {}  # by offset; None where the contract's reader has no word for it
    tops = {symbol: max(last for _, last in ranges) for symbol, ranges in coverage.items()}
    for offset, value in enumerate(values):
        trade = contract.read(value)
        if trade is None:
            refused[offset] = _reason(value)
        elif trade.trade_id > tops.get((trade.exchange, trade.symbol), trade.trade_id) + contract.FARTHEST_JUMP:
            refused[offset] = None
        else:
            accepted.append(trade)

    found = _evaluate(values, coverage)

    for row in found["rejected"]:
        assert row["offset"] in refused, values[row["offset"]]
        if (reason := refused.pop(row["offset"])) is not None:
            assert row["reason"] == reason
        else:
            assert "above the symbol's top" in row["reason"]
    assert not refused, [values[offset] for offset in refused]
    _judge(accepted, coverage, found)


def _messages(random: Random, data: bytes) -> list[bytes | None]:
    """Trades of random markets, in any spelling, and among them the same with something changed."""
    good: list[bytes] = []
    for exchange, symbol in _MADE_UP:
        for _ in range(random.randint(0, 12)):
            good += [market.wire(random, trade) for trade in _published(random, exchange, symbol)]
    pool = [*data.split(b"\n"), *seed_messages(), *random.choices(good or [b""], k=50)]
    changed: list[bytes | None] = [
        random.randbytes(random.randint(0, 300)) if random.random() < 0.05 else mutate(random, value, pool)
        for value in random.choices(pool, k=MESSAGES - len(good))
    ]
    values = [*good, *pool, *changed, None]
    random.shuffle(values)
    return values


def _published(random: Random, exchange: str, symbol: str) -> list[Trade]:
    return market.published(random, market.trades(random, exchange, symbol))


def _coverage(random: Random) -> dict[Symbol, list[Range]]:
    """What is committed already: some ranges of ids of some symbols."""
    coverage = {}
    for symbol in _MADE_UP:
        if random.random() < 0.5:
            bounds = sorted(random.sample(range(6000), 2 * random.randint(1, 5)))
            coverage[symbol] = list(zip(bounds[::2], bounds[1::2], strict=True))
    return coverage


def _reason(value: bytes | None) -> str:
    try:
        trade = from_wire(value)
    except MalformedTrade as error:
        return str(error)
    raise AssertionError(f"taken for a trade: {trade}")


def _evaluate(values: Sequence[bytes | None], coverage: dict[Symbol, list[Range]]) -> dict[str, list[Any]]:
    """The kernel's rows, by kind."""
    messages = kernel.table_of([(value, b"key", 3, i) for i, value in enumerate(values)], kernel.MESSAGES)
    seen = [(*symbol, first, last) for symbol, ranges in coverage.items() for first, last in ranges]
    table = kernel.evaluate(messages, kernel.Coverage.of(seen, []))
    found: dict[str, list[Any]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["kind"]].append(row)
    return found


def _judge(accepted: Sequence[Trade], coverage: dict[Symbol, list[Range]], found: dict[str, list[Any]]) -> None:
    """Bars, ids and counts, symbol by symbol, against brute force."""
    by_symbol: dict[Symbol, list[Trade]] = defaultdict(list)
    for trade in accepted:
        by_symbol[trade.exchange, trade.symbol].append(trade)
    bars: dict[Symbol, list[Any]] = defaultdict(list)
    for row in found["bar"]:
        bars[row["exchange"], row["symbol"]].append(row)
    ids = {(row["exchange"], row["symbol"]): row for row in found["ids"]}
    assert ids.keys() == by_symbol.keys()
    assert bars.keys() <= by_symbol.keys()
    repeats = 0
    for symbol, trades in by_symbol.items():
        new = [trade for trade in trades if not _holds(coverage.get(symbol, ()), trade.trade_id)]
        new_ids = {trade.trade_id for trade in new}
        repeats += len(trades) - len(new_ids)
        _judge_ids(trades, new_ids, ids[symbol])
        _judge_bars(new, bars[symbol])
    (counts,) = found["counts"]
    assert counts["duplicates"] == repeats
    assert counts["rejected"] == len(found["rejected"])
    live = [trade.received_at_us for trade in accepted if trade.source == "ws"]
    assert counts["newest_received_at_us"] == max(live, default=None)


def _judge_ids(trades: Sequence[Trade], new_ids: set[int], row: dict[str, Any]) -> None:
    accounted = [
        (trade.trade_id if trade.prev_trade_id is None else trade.prev_trade_id + 1, trade.trade_id)
        for trade in trades
    ]
    spoken = [part.strip("[)").split(",") for part in row["seen"].strip("{}").replace("),[", ")|[").split("|")]
    assert _merged((int(first), int(end) - 1) for first, end in spoken) == _merged(accounted)
    none = (None, None)
    assert (row["first_id"], row["last_id"]) == ((min(new_ids), max(new_ids)) if new_ids else none)
    live = [trade.trade_id for trade in trades if trade.source == "ws"]
    assert row["live_from"] == min(live, default=None)


def _judge_bars(new: Sequence[Trade], rows: Sequence[dict[str, Any]]) -> None:
    """Every bar is exact, but for the minutes of ids that two messages tell differently: either may stand."""
    contents: dict[int, set[Any]] = defaultdict(set)
    for trade in new:
        contents[trade.trade_id].add((trade.price, trade.quantity, trade.taker_side, trade.traded_at_us))
    disputed = {
        told[3] // market.MINUTE_US for tellings in contents.values() if len(tellings) > 1 for told in tellings
    }
    expected, built = reference.bars(new), reference.merged(rows)
    assert {minute: bar for minute, bar in built.items() if minute not in disputed} == {
        minute: bar for minute, bar in expected.items() if minute not in disputed
    }
    voids = sum(all(not told[0] or not told[1] for told in tellings) for tellings in contents.values())
    counted = sum(bar.trade_count for bar in built.values())
    assert counted <= len(contents) - voids
    if not disputed:
        assert counted == len(contents) - voids


def _holds(ranges: Iterable[Range], trade_id: int) -> bool:
    return any(first <= trade_id <= last for first, last in ranges)


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged
