"""The limits of an exchange are kept, and reconnects spread out."""

import threading

from producer.exchanges.adapter import Rate
from producer.pace import Backoff, Pace


class Clock:
    """Time that passes only in waits."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Waiter(threading.Event):
    """An event that nobody sets, whose waits move the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now_s += timeout or 0
        return self.is_set()


def test_no_window_holds_more_than_the_limit() -> None:
    clock = Clock()
    pace, stopping, permitted = Pace(Rate(3, 10), clock), Waiter(clock), []
    for _ in range(8):
        assert pace.wait(stopping)
        permitted.append(clock.now_s)
        clock.now_s += 1
    assert permitted == [100, 101, 102, 110, 111, 112, 120, 121]


def test_a_wait_for_permission_ends_when_the_service_stops() -> None:
    pace, stopping = Pace(Rate(1, 3600)), threading.Event()
    assert pace.wait(stopping)
    stopping.set()
    assert not pace.wait(stopping)


def test_the_wait_before_a_reconnect_doubles_up_to_a_bound_and_starts_anew_after_data() -> None:
    backoff = Backoff(1.0, 60.0, chance=lambda: 1.0)
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 1


def test_connections_lost_together_do_not_return_together() -> None:
    waits = {Backoff(1.0, 60.0).next_s() for _ in range(100)}
    assert len(waits) > 90
    assert all(0 <= wait_s < 1 for wait_s in waits)


def test_a_thousand_failures_overflow_nothing() -> None:
    backoff = Backoff(1.0, 60.0, chance=lambda: 1.0)
    assert {backoff.next_s() for _ in range(2000)} == {1, 2, 4, 8, 16, 32, 60}
