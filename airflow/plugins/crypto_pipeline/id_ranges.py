"""Sorted ranges of trade ids, first and last of each."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

Ids = Sequence[tuple[int, int]]
Ranges = list[tuple[int, int]]


def merged(ranges: Iterable[tuple[int, int]], apart: int = 1) -> Ranges:
    """The ranges in order, those no more than `apart` from each other as one."""
    spans: Ranges = []
    for first, last in sorted(ranges):
        if spans and first - spans[-1][1] <= apart:
            spans[-1] = spans[-1][0], max(spans[-1][1], last)
        else:
            spans.append((first, last))
    return spans


def minus(ranges: Ids, taken: Ids) -> Ranges:
    """The ids of sorted ranges that are in none of the taken ones, which are sorted too."""
    left: Ranges = []
    for first, last in ranges:
        for taken_first, taken_last in taken[bisect_left(taken, first, key=lambda one: one[1]) :]:
            if taken_first > last:
                break
            if taken_first > first:
                left.append((first, taken_first - 1))
            first = taken_last + 1
        if first <= last:
            left.append((first, last))
    return left


def overlaps(ranges: Ids, first: int, last: int) -> bool:
    """Whether any id of [first, last] is in the sorted ranges."""
    place = bisect_left(ranges, first, key=lambda one: one[1])
    return place < len(ranges) and ranges[place][0] <= last


def multirange(ids: Ids) -> str:
    """The ids as PostgreSQL writes an int8multirange."""
    return "{" + ",".join(f"[{first},{last}]" for first, last in ids) + "}"


def count_of(ids: Ids) -> int:
    """How many ids the ranges hold."""
    return sum(last - first + 1 for first, last in ids)


def spelled(ids: Ids, at_most: int = 5) -> str:
    """The ranges for people: `7, 10-19 and 3 more`."""
    words = [str(first) if first == last else f"{first}-{last}" for first, last in ids[:at_most]]
    more = f" and {len(ids) - at_most} more" if len(ids) > at_most else ""
    return ", ".join(words) + more
