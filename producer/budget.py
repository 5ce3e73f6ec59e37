"""The REST weight of one exchange: how much of it we use, and when the next call may go out.

An exchange counts the weight of all calls from one address in a window. The services of this pipeline share that
address, so each keeps to its own share; the answers' headers tell what everybody used, and that is kept too.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from producer.exchanges.adapter import Rate

# What we leave of the whole address's weight: calls of others may be under way.
_HEADROOM = 0.05


class Budget:
    """Weight for the calls of one exchange, from any number of threads.

    limit: the exchange's, for the whole address. share: our part of it, above 0 and up to 1.
    clock: seconds, monotonic. sleep: waits so many seconds.
    """

    def __init__(
        self,
        limit: Rate,
        share: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._window_s = limit.per_s
        self._own = limit.count * share
        self._all = limit.count * (1 - _HEADROOM)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._calls: deque[tuple[float, int]] = deque()  # (when, weight) of the last window
        self._used_by_all: tuple[float, int] = (-limit.per_s, 0)  # when it was told, how much
        self._closed_until = float("-inf")

    def spend(self, weight: int) -> None:
        """Waits until a call of this weight may go out, and counts it."""
        while (wait_s := self._try_to_spend(weight)) > 0:
            self._sleep(wait_s)

    def report(self, used: int) -> None:
        """The exchange says that our address has used so much in the current window."""
        with self._lock:
            self._used_by_all = (self._clock(), used)

    def close(self, for_s: float) -> None:
        """The exchange wants no call for so many seconds."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + for_s)

    def closed_for_s(self) -> float:
        """How long no call may go out, because the exchange said so; 0 when it is open."""
        with self._lock:
            return max(0.0, self._closed_until - self._clock())

    def _try_to_spend(self, weight: int) -> float:
        """0 and the weight counted, or after how many seconds to try again."""
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                return self._closed_until - now
            while self._calls and self._calls[0][0] <= now - self._window_s:
                self._calls.popleft()
            # a single call may weigh more than a small share: it goes out when nothing else did
            if self._calls and sum(spent for _, spent in self._calls) + weight > self._own:
                return self._calls[0][0] + self._window_s - now
            told_at, used = self._used_by_all
            if now < told_at + self._window_s and used + weight > self._all:
                return told_at + self._window_s - now
            self._calls.append((now, weight))
            return 0.0
