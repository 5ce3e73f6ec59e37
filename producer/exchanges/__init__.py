"""The registry of exchanges: what the contract must know of each, and where its adapter is.

A new exchange is one adapter file in this folder, one line in EXCHANGES and its recorded frames.
Nothing heavy is imported here: the Spark workers read this registry too.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the message contract depends on.

    consecutive_ids: a symbol's trade ids grow by exactly one, so a missing id is a missing trade.
    Where they only grow, completeness is attested by the connection instead (see docs of `Trade`).
    """

    consecutive_ids: bool


EXCHANGES = MappingProxyType(
    {
        "binance": Exchange(consecutive_ids=True),
        "kucoin": Exchange(consecutive_ids=False),
    }
)
