"""The record of what was sent, so that a test can compare it with what arrived."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

_IDS_KEPT = 100_000
_UNTRUE = ("malformed", "future_dates")


@dataclass(slots=True)
class SymbolSent:
    """What happened to a symbol's trades while somebody was subscribed.

    ranges: [first index, last index] of those sent to at least one connection. faults: trade ids by what befell
    them (`loss`, `duplicates`, …), the newest 100,000 of each.
    """

    ranges: list[list[int]] = field(default_factory=list)
    faults: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, first: int, last: int) -> None:
        """Trades of these indexes were sent."""
        if self.ranges and self.ranges[-1][1] == first - 1:
            self.ranges[-1][1] = last
        elif not self.ranges or self.ranges[-1][1] < first:
            self.ranges.append([first, last])

    def lost(self) -> int:
        """How many trades between the first and the last one sent went to no connection, or not as they are."""
        unsent = sum(later[0] - earlier[1] - 1 for earlier, later in pairwise(self.ranges))
        return unsent + sum(len(self.faults[fault]) for fault in _UNTRUE if fault in self.faults)

    def befell(self, fault: str, trade_id: int) -> None:
        """A fault hit a trade."""
        ids = self.faults[fault]
        ids.append(trade_id)
        del ids[:-_IDS_KEPT]


class SentLog:
    """What was sent, by symbol key; in a file as well where one is given."""

    def __init__(self, path: Path | None) -> None:
        self.symbols: defaultdict[str, SymbolSent] = defaultdict(SymbolSent)
        self._file: TextIO | None = None
        if path:
            fresh = not path.exists()
            self._file = path.open("a")
            if fresh:
                self._file.write("sent_at_us,connection,exchange,symbol,trades,first_trade_id,last_trade_id\n")

    def line(self, at_us: int, connection: int, key: str, trades: int, first_id: int, last_id: int) -> None:
        """Trades went to a connection; ids are those of the first and the last one written."""
        if self._file:
            exchange, symbol = key.split(":")
            self._file.write(f"{at_us},{connection},{exchange},{symbol},{trades},{first_id},{last_id}\n")

    def close(self) -> None:
        """Writes what is still buffered."""
        if self._file:
            self._file.close()

    def lost(self) -> int:
        """How many trades of all symbols were lost on the wire while somebody was subscribed, or between two."""
        return sum(sent.lost() for sent in self.symbols.values())

    def as_json(self, key: str) -> dict[str, Any]:
        """Index ranges and faults of a symbol."""
        found = self.symbols.get(key) or SymbolSent()
        return {"ranges": found.ranges, "faults": found.faults}
