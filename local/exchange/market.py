"""The market of one symbol: pure and deterministic, so that any trade of any time can be told again.

A symbol's trades are numbered from 0 (the index). Its life is a list of segments: stretches of synthetic trades
at one rate (0: a halt, during which no trade happens and no id passes), and the recording. Changing the rate
appends a segment and leaves the past as it was.
"""

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

from local.exchange.listing import Listing
from local.exchange.synthetic import BLOCK, RawTrade, block, drift

_BLOCKS_KEPT = 4
_TYPICAL_QUOTE = 400.0  # what a trade is worth, in quote currency
_MASK = 2**64 - 1
_time = itemgetter(0)


class MarketChangeRefused(ValueError):
    """A change that would alter the past or a scheduled halt; the message says which symbol and until when."""


class Trade(NamedTuple):
    """One trade. price and quantity: integers in the listing's smallest units; both 0 where it was voided."""

    trade_id: int
    traded_at_us: int
    price: int
    quantity: int
    taker_buys: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a symbol's life, up to the start of the next.

    rate: synthetic trades a second; None: the recording. level: logarithm of the price around which it moves.
    """

    start_us: int
    start_index: int
    rate: float | None
    level: float


class SymbolMarket:
    """All trades of one symbol, past and future."""

    def __init__(self, listing: Listing, seed: int, segments: list[Segment], recording: list[RawTrade]) -> None:
        self.listing = listing
        self.segments = segments
        self._recording = recording
        self._seed = f"{seed}:{listing.key}"
        self._drift_seed = _drift_seed(listing, seed)
        self._price_unit = 10.0**listing.price_decimals
        self._blocks: OrderedDict[tuple[int, int], list[RawTrade]] = OrderedDict()

    def index_at(self, time_us: int) -> int:
        """How many trades are dated before a time: the index of the first one at or after it."""
        number = bisect_right(self.segments, time_us, key=lambda s: s.start_us) - 1
        if number < 0:
            return 0
        segment = self.segments[number]
        if segment.rate is None:
            return min(
                segment.start_index + bisect_left(self._recording, time_us, key=_time), self._end_index(number)
            )
        if segment.rate == 0:
            return segment.start_index
        at = int((time_us - segment.start_us) * segment.rate / (BLOCK * 1e6))
        inside = bisect_left(self._block(number, at), time_us, key=_time)
        if inside == 0 and at:  # a rounded boundary
            at, inside = at - 1, bisect_left(self._block(number, at - 1), time_us, key=_time)
        elif inside == BLOCK:
            at, inside = at + 1, bisect_left(self._block(number, at + 1), time_us, key=_time)
        return segment.start_index + at * BLOCK + inside

    def trades(self, first: int, end: int) -> Iterator[Trade]:
        """The trades with an index from first up to, not including, end."""
        number = max(bisect_right(self.segments, first, key=lambda s: s.start_index) - 1, 0)
        index = max(first, 0)
        while index < end and number < len(self.segments):
            segment = self.segments[number]
            stop = min(end, self._end_index(number))
            while index < stop:
                if segment.rate is None:
                    raws, inside = self._recording, index - segment.start_index
                else:
                    at, inside = divmod(index - segment.start_index, BLOCK)
                    raws = self._block(number, at)
                for raw in raws[inside : inside + stop - index]:
                    yield Trade(self.id_of(index), *raw)
                    index += 1
            number += 1

    def id_of(self, index: int) -> int:
        """The trade id of an index."""
        step = self.listing.id_step
        if step == 1:
            return self.listing.first_id + index
        # Uneven steps, yet the index can be told from the id: multiply and fold, as hashes of integers do.
        mixed = index * 0x9E3779B97F4A7C15 & _MASK
        mixed = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & _MASK
        return self.listing.first_id + index * step + (mixed >> 40) % (step - 1)

    def index_of(self, trade_id: int) -> int:
        """The index of the first trade whose id is at or above trade_id."""
        index = max((trade_id - self.listing.first_id) // self.listing.id_step, 0)
        return index if self.id_of(index) >= trade_id else index + 1

    def rate_at(self, time_us: int) -> float | None:
        """Trades a second; None within the recording."""
        number = bisect_right(self.segments, time_us, key=lambda s: s.start_us) - 1
        return self.segments[max(number, 0)].rate

    def change_rate(self, at_us: int, rate: float) -> None:
        """From a time on, the market trades at another rate. Raises MarketChangeRefused."""
        last = self.segments[-1]
        if last.start_us > at_us or last.rate is None:
            raise MarketChangeRefused(
                f"{self.listing.key}: halted, or its recording still playing, until {last.start_us} us"
            )
        if rate != last.rate:
            self.segments.append(Segment(at_us, self.index_at(at_us), rate, last.level))

    def halt(self, from_us: int, until_us: int) -> None:
        """No trade happens for a while; then it goes on as before. Raises MarketChangeRefused."""
        rate = self.segments[-1].rate
        self.change_rate(from_us, 0.0)
        self.segments.append(replace(self.segments[-1], start_us=until_us, rate=rate))

    def end_halt(self, at_us: int) -> None:
        """Trading resumes earlier than was said; nothing where it is not halted."""
        if self.segments[-1].start_us > at_us and len(self.segments) > 1 and self.segments[-2].rate == 0:
            self.segments[-1] = replace(self.segments[-1], start_us=at_us)
            self._blocks.clear()  # the first trade after the halt may have been looked at already

    def _end_index(self, number: int) -> int:
        """One above the last index of a segment."""
        if number + 1 < len(self.segments):
            return self.segments[number + 1].start_index
        return 2**62 if self.segments[number].rate else self.segments[number].start_index

    def _block(self, number: int, at: int) -> list[RawTrade]:
        found = self._blocks.get((number, at))
        if found is None:
            found = self._blocks[number, at] = self._make_block(number, at)
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return found

    def _make_block(self, number: int, at: int) -> list[RawTrade]:
        segment = self.segments[number]
        assert segment.rate
        length_us = BLOCK * 1e6 / segment.rate
        from_us = segment.start_us + at * length_us
        prices = (self._price(segment, from_us), self._price(segment, from_us + length_us))
        typical = _TYPICAL_QUOTE / math.exp(segment.level) * 10.0**self.listing.quantity_decimals
        return block(f"{self._seed}:{number}", at, from_us, length_us, prices, typical)

    def _price(self, segment: Segment, time_us: float) -> float:
        return math.exp(segment.level + drift(self._drift_seed, int(time_us))) * self._price_unit


def level_for(listing: Listing, seed: int, price: float, time_us: int) -> float:
    """The level at which a segment's price is `price` at a time."""
    return math.log(price) - drift(_drift_seed(listing, seed), time_us)


def _drift_seed(listing: Listing, seed: int) -> str:
    """The same on both exchanges: their prices of a symbol move together."""
    return f"{seed}:{listing.symbol}"
