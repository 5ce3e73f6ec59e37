"""What an exchange allows one address: fixed windows of weight, sliding windows of messages and connects."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field


class SlidingWindow:
    """At most `limit` events within any `seconds`."""

    def __init__(self, limit: int, seconds: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._seconds, self._now_s = limit, seconds, now_s
        self._events: deque[float] = deque()

    def allows(self) -> bool:
        """Counts one event, and says whether it is still within the limit."""
        now_s = self._now_s()
        while self._events and self._events[0] <= now_s - self._seconds:
            self._events.popleft()
        self._events.append(now_s)
        return len(self._events) <= self._limit


@dataclass(slots=True)
class WeightWindow:
    """Weight spent in fixed windows of `seconds`, as both exchanges count theirs, by address.

    ban_s: how long an address is banned that goes on after `warnings` refusals in a window; 0: never.
    """

    limit: int
    seconds: float
    ban_s: int = 0
    warnings: int = 10
    now_s: Callable[[], float] = time.time
    _spent: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _banned_until_s: dict[str, float] = field(default_factory=dict)

    def spend(self, address: str, weight: int) -> "Spent":
        """Counts a call; refused ones count too."""
        now_s = self.now_s()
        window = int(now_s // self.seconds)
        before, used, refused = self._spent.get(address, (window, 0, 0))
        if before != window:
            used = refused = 0
        used += weight
        left_s = (window + 1) * self.seconds - now_s
        banned_s = self._banned_until_s.get(address, 0.0) - now_s
        if used > self.limit:
            refused += 1
            if self.ban_s and refused > self.warnings and banned_s <= 0:
                banned_s = float(self.ban_s)
                self._banned_until_s[address] = now_s + banned_s
        self._spent[address] = (window, used, refused)
        if banned_s > 0:
            return Spent(used, self.limit, left_s, "banned", math.ceil(banned_s))
        return Spent(used, self.limit, left_s, "refused" if used > self.limit else "granted", math.ceil(left_s))


@dataclass(frozen=True, slots=True)
class Spent:
    """The outcome: granted, refused or banned; retry_after_s is for the last two."""

    used: int
    limit: int
    left_s: float
    outcome: str
    retry_after_s: int


class PerAddress:
    """A sliding window for each address."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._windows: defaultdict[str, SlidingWindow] = defaultdict(lambda: SlidingWindow(limit, seconds))

    def allows(self, address: str) -> bool:
        """Counts one event of an address, and says whether it is still within the limit."""
        return self._windows[address].allows()
