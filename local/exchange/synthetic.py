"""Synthetic trades: any block of them can be made again at any time from the seed alone.

The price is a curve over time, a sum of smooth noises from seconds to a day and a half whose sizes grow with the
square root of their period as a random walk's do; being bounded it never leaves plausible ground. Trades come
in blocks of BLOCK at random times, some in sweeps: several at the same instant, one side, a tick further each.
"""

import hashlib
import math
import random
from functools import lru_cache
from typing import NamedTuple

BLOCK = 64
_SHORTEST_US = 8_000_000
_OCTAVES = 15  # the longest period is 36 hours
_MOVE_PER_MINUTE = 0.0005


class RawTrade(NamedTuple):
    """A trade without its id. Price and quantity are integers in the listing's smallest units."""

    traded_at_us: int
    price: int
    quantity: int
    taker_buys: bool


def drift(seed: str, time_us: int) -> float:
    """Logarithm of the price at a time, relative to the symbol's level."""
    total = 0.0
    for octave in range(_OCTAVES):
        period_us = _SHORTEST_US << octave
        cell, inside_us = divmod(time_us, period_us)
        x = inside_us / period_us
        left, right = _noise(seed, octave, cell), _noise(seed, octave, cell + 1)
        size = _MOVE_PER_MINUTE * math.sqrt(period_us / 60_000_000)
        total += size * (left + (right - left) * x * x * (3 - 2 * x))
    return total


def block(
    seed: str, number: int, from_us: float, length_us: float, prices: tuple[float, float], typical_quantity: float
) -> list[RawTrade]:
    """The trades of a block, oldest first.

    from_us and length_us: the time it covers. prices: at its start and end, typical_quantity: both in the
    listing's smallest units.
    """
    rng = random.Random(_number(f"{seed}:{number}"))
    chance = rng.random
    start, end = prices
    half_spread = max(0.5, start * 1e-5)
    trades: list[RawTrade] = []
    at_us, buys, price = 0, True, 0
    for offset in sorted(chance() for _ in range(BLOCK)):
        luck = chance()
        if luck < 0.4 and trades:  # a sweep goes on
            price += (1 if buys else -1) if luck < 0.15 else 0
        else:
            at_us = int(from_us + offset * length_us)
            buys = luck > 0.7
            middle = start + (end - start) * offset + (chance() - 0.5) * 2 * half_spread
            price = round(middle + (half_spread if buys else -half_spread))
        price = max(price, 1)
        quantity = max(1, int(typical_quantity * (0.3 / (chance() + 0.03) - 0.28)))  # few large, many small
        trades.append(RawTrade(at_us, price, quantity, buys))
    return trades


@lru_cache(maxsize=200_000)
def _noise(seed: str, octave: int, cell: int) -> float:
    return _number(f"{seed}:{octave}:{cell}") / 2**63 - 1.0


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
