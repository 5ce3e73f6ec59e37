"""Holes: ids of a symbol that no trade accounted for, and what trades fill of them."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from producer.trade import Trade


@dataclass(frozen=True, slots=True)
class Hole:
    """Ids [first_id, last_id] of a symbol that no trade accounted for.

    due_at: when they are asked for next (seconds of the monotonic clock). attempts: how often they were.
    """

    first_id: int
    last_id: int
    due_at: float
    attempts: int = 0


def ids_of(trade: Trade) -> tuple[int, int]:
    """The first and the last id that a trade accounts for."""
    return (trade.trade_id if trade.prev_trade_id is None else trade.prev_trade_id + 1), trade.trade_id


def filling(page: Sequence[Trade], holes: Sequence[Hole]) -> list[Trade]:
    """The trades that account for an id of a hole."""
    firsts = [hole.first_id for hole in holes]
    found = []
    for trade in page:
        first_id, last_id = ids_of(trade)
        place = bisect_right(firsts, last_id) - 1  # the last hole that starts at or below it
        if place >= 0 and holes[place].last_id >= first_id:
            found.append(trade)
    return found


def without(holes: Sequence[Hole], first_id: int, last_id: int) -> list[Hole]:
    """What is left of the holes, ascending as they are, once these ids are there."""
    kept = []
    for hole in holes:
        if hole.last_id < first_id or hole.first_id > last_id:
            kept.append(hole)
            continue
        if hole.first_id < first_id:
            kept.append(replace(hole, last_id=first_id - 1))
        if hole.last_id > last_id:
            kept.append(replace(hole, first_id=last_id + 1))
    return kept


def spans(holes: Sequence[Hole], page: int) -> list[tuple[int, int]]:
    """The first and the last id of each stretch to ask for: holes that fit in a page are asked for together.

    page: how many ids one holds.
    """
    found: list[tuple[int, int]] = []
    for hole in holes:
        if found and hole.last_id < found[-1][0] + page:
            found[-1] = found[-1][0], hole.last_id
        else:
            found.append((hole.first_id, hole.last_id))
    return found
