"""The fuzzers' properties on inputs that are the same each time; `make fuzz` looks for new ones."""

from collections.abc import Iterator
from random import Random

import pytest
from fuzz.mutate import mutate
from fuzz.targets import TARGETS

_LAYERS = 4  # changes upon changes


@pytest.mark.parametrize(("name", "runs"), [("binance", 8000), ("kucoin", 8000), ("wire", 6000), ("kernel", 2)])
def test_no_input_breaks_what_must_hold(name: str, runs: int) -> None:
    target = TARGETS[name]
    for data in _inputs(target.seeds(), runs):
        target.check(data)


def _inputs(seeds: list[bytes], count: int) -> Iterator[bytes]:
    random = Random(1)
    yield from seeds[:count]
    for _ in range(count - len(seeds)):
        data = random.choice(seeds)
        for _ in range(random.randint(1, _LAYERS)):
            data = mutate(random, data, seeds)
        yield data
