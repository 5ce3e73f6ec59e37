"""Sorted ranges of trade ids, first and last of each."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

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


def minus(ranges: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> Ranges:
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


def overlaps(ranges: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether any id of [first, last] is in the sorted ranges."""
    place = bisect_left(ranges, first, key=lambda one: one[1])
    return place < len(ranges) and ranges[place][0] <= last
