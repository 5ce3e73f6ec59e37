"""What is fuzzed, and with what each fuzzer begins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fuzz import adapters, kernel, seeds, wire


@dataclass(frozen=True)
class Target:
    """check: raises on whatever must not be, whatever the input. seeds: well-formed inputs of every kind.

    messages: how many things to read a call of `check` makes of its input.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    messages: int = 1


TARGETS: Mapping[str, Target] = {
    "binance": Target(adapters.checker("binance"), seeds.binance_inputs),
    "kucoin": Target(adapters.checker("kucoin"), seeds.kucoin_inputs),
    "wire": Target(wire.check, seeds.messages),
    "kernel": Target(kernel.check, seeds.messages, kernel.MESSAGES),
}
