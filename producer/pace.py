"""Keeping to an exchange's limits, and not storming it when it is down."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable

from producer.exchanges.adapter import Rate


class Pace:
    """Permits at most `rate.count` in any `rate.per_s` seconds, for any number of threads."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._permitted: deque[float] = deque(maxlen=rate.count)

    def wait(self, stopping: threading.Event) -> bool:
        """Waits for the next permission. False if `stopping` was set before it came."""
        while (wait_s := self._try()) > 0:
            if stopping.wait(wait_s):
                return False
        return not stopping.is_set()

    def _try(self) -> float:
        with self._lock:
            now = self._clock()
            if len(self._permitted) == self._rate.count and now < self._permitted[0] + self._rate.per_s:
                return self._permitted[0] + self._rate.per_s - now
            self._permitted.append(now)
            return 0.0


class Backoff:
    """How long to wait before the next attempt: a random time below a ceiling that doubles with each failure.

    The whole time is random ("full jitter"), so that connections that were lost together do not return together.
    """

    def __init__(self, first_s: float, max_s: float, chance: Callable[[], float] = random.random) -> None:
        self._first_s, self._max_s, self._chance = first_s, max_s, chance
        self.failures = 0

    def next_s(self) -> float:
        """The wait before the next attempt; counts a failure."""
        ceiling_s = min(self._max_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return ceiling_s * self._chance()

    def reset(self) -> None:
        """To be called when data came. That a connection opened proves nothing."""
        self.failures = 0
