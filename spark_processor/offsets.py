"""Ranges of a topic's offsets, and how they are shared out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets [begin, end) of a partition."""

    partition: int
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin


def at_most(messages: int, unread: Iterable[OffsetRange]) -> list[OffsetRange]:
    """The beginning of what is unread, of each partition the same share; empty ranges are left out."""
    waiting = [one for one in unread if len(one)]
    share = min(1.0, messages / sum(map(len, waiting))) if waiting else 1.0
    return [replace(one, end=one.begin + max(1, int(len(one) * share))) for one in waiting]


def divided(ranges: Iterable[OffsetRange], parts: int) -> list[list[OffsetRange]]:
    """The ranges in so many parts of about the same size, or in fewer: each of a partition is whole."""
    shares: list[list[OffsetRange]] = [[] for _ in range(parts)]
    for one in sorted(ranges, key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(one)
    return [share for share in shares if share]
