"""Symbols that fell silent: an exchange accepts a subscription to what it no longer knows, and says nothing."""

import time
from collections.abc import Callable, Mapping, Sequence


class Silence:
    """Which of these symbols have had no trade for `after_s`: halted, delisted or renamed."""

    def __init__(
        self, symbols: Sequence[str], after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._after_s, self._clock = after_s, clock
        self._tops: dict[str, int | None] = dict.fromkeys(symbols)
        self._changed_at = dict.fromkeys(symbols, clock())
        self._told: set[str] = set()

    def look(self, tops: Mapping[str, int]) -> tuple[list[str], list[str]]:
        """The silent symbols, and those of them that were not silent at the last look.

        tops: the highest trade id of each symbol that had a trade.
        """
        now = self._clock()
        for symbol, before in self._tops.items():
            top = tops.get(symbol)
            if top != before:
                self._tops[symbol], self._changed_at[symbol] = top, now
        silent = [symbol for symbol, at in self._changed_at.items() if now >= at + self._after_s]
        newly = [symbol for symbol in silent if symbol not in self._told]
        self._told = set(silent)
        return silent, newly
