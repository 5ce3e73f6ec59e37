"""Inputs made of others: what a fuzzer changes in them, of bytes and of JSON.

Everything is drawn from one `random.Random`, so a seed is a whole story.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

_PIECES = (
    *(bytes([byte]) for byte in b'0123456789"\\,:{}[]().-+eE _aNZ\x00\x7f\xff\n\t'),
    *(b"null", b"true", b"false", b"NaN", b"-0", b"1e3", b"1e999", b"0x1", b"{}", b"[]", b'""'),
    *(
        b"\\u0030",
        b"\\u0000",
        b"\\ud800",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        "٣".encode(),
        "币".encode(),
        b"\xc0\xaf",
    ),
    *(b"9" * 20, b"9" * 400, b"0." + b"0" * 18 + b"1", b"'; drop table coverage; --"),
)
_VALUES = (
    *(None, True, False, "", 0, -1, 1, 1.5, 2**31, 2**53 + 1, 2**63 - 2, 2**63 - 1, 2**63, 2**64, -(2**63), 1e300),
    *("0", "-0", "-1", "1e5", "1E-8", "1E+19", "1E+999999999", "1e-999999999", "NaN", "sNaN", "Infinity", "1_0"),
    *(
        " 1",
        "1.",
        ".1",
        "٣",
        "0" * 30,
        "9" * 20 + "." + "9" * 18,
        "9" * 5000,
        "BTC\0-USDT",
        "BTC-USDT",
        "btc-usdt",
    ),
    *("币安-USDT", "ß-USDT", "\ud800", "buy", "sell", "ws", "rest", "binance", "kucoin", [], {}, [[]], {"": []}),
    *(1_732_147_200, 1_732_147_200_000, 1_732_147_200_000_000, 1_732_147_200_000_000_000, "1732147200000000000"),
)
_DEPTHS = (60, 63, 64, 65, 200, 990, 1023, 1025, 2000)


def mutate(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The input with one to three changes. others: inputs that pieces may come from."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = random.random()
        if kind < 0.45:
            data = _change_bytes(random, data)
        elif kind < 0.95:
            data = _change_json(random, data)
        else:
            other = random.choice(others)
            data = data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]
    return data


def _change_bytes(random: Random, data: bytes) -> bytes:
    at = random.randint(0, len(data))
    end = min(len(data), at + random.choice((0, 0, 1, 1, 2, 4, 20)))
    kind = random.random()
    if kind < 0.1:
        piece = b""
    elif kind < 0.2:
        piece = data[at:end] * 2
    elif kind < 0.35:
        piece = random.randbytes(random.randint(1, 4))
    else:
        piece = random.choice(_PIECES)
    return data[:at] + piece + data[end:]


def _change_json(random: Random, data: bytes) -> bytes:
    """Another spelling, type, value, name or depth somewhere in the JSON value of one of the input's lines."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    start = max(0, min((at for at in map(lines[place].find, (b"{", b"[")) if at >= 0), default=0))
    try:
        value = json.loads(lines[place][start:])
    except (ValueError, RecursionError):
        return _change_bytes(random, data)
    spelled = json.dumps(
        _changed(random, value),
        separators=random.choice(((",", ":"), (",", ":"), (", ", ": "))),
        ensure_ascii=random.random() < 0.3,
    ).encode(errors="surrogatepass")
    if random.random() < 0.03:
        depth = random.choice(_DEPTHS)
        deep = random.choice((b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth))
        spelled = spelled.replace(b"}", b',"deep":' + deep + b"}", 1)
    lines[place] = lines[place][:start] + spelled
    return b"\n".join(lines)


def _changed(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        kind = random.random()
        if kind < 0.05:
            return {other: kept for other, kept in value.items() if other != name}
        if kind < 0.1:
            return dict(random.sample(list(value.items()), len(value)))
        if kind < 0.15:
            return value | {
                random.choice(("extra", "e", "code", "data", "error", "result")): random.choice(_VALUES)
            }
        return value | {name: _changed(random, value[name])}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        changed = [*value[:at], _changed(random, value[at]), *value[at + 1 :]]
        return changed[: random.randint(0, len(value))] + random.choice(([], [], value[:1]))
    if type(value) is int and random.random() < 0.6:
        return random.choice((value + random.randint(-3, 3), -value, value * 1000, value // 1000, str(value)))
    return random.choice(_VALUES)
