"""The REST weight: our share, everybody's use, and the exchange's word, on a clock of our own."""

from dataclasses import dataclass, field

from producer.budget import Budget
from producer.exchanges.adapter import Rate


@dataclass
class Clock:
    now_s: float = 1000.0
    slept_s: list[float] = field(default_factory=list)

    def read(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        self.slept_s.append(wait_s)
        self.now_s += wait_s


def budget(clock: Clock, share: float = 0.4) -> Budget:
    return Budget(Rate(100, 60), share, clock.read, clock.sleep)


def test_calls_within_the_share_do_not_wait() -> None:
    clock = Clock()
    calls = budget(clock)
    for _ in range(4):
        calls.spend(10)
    assert clock.slept_s == []


def test_the_call_beyond_the_share_waits_until_the_oldest_leaves_the_window() -> None:
    clock = Clock()
    calls = budget(clock)
    calls.spend(30)
    clock.now_s += 20
    calls.spend(10)
    calls.spend(10)
    assert clock.slept_s == [40]


def test_a_call_heavier_than_the_share_goes_out_alone() -> None:
    clock = Clock()
    calls = budget(clock)
    calls.spend(80)
    calls.spend(1)
    assert clock.slept_s == [60]


def test_what_others_of_the_address_used_is_kept_too() -> None:
    clock = Clock()
    calls = budget(clock)
    calls.report(90)
    calls.spend(5)
    assert clock.slept_s == []
    calls.report(95)
    calls.spend(5)
    assert clock.slept_s == [60]


def test_a_closed_exchange_is_waited_for_to_the_second() -> None:
    clock = Clock()
    calls = budget(clock)
    calls.close(7)
    calls.close(3)
    assert calls.closed_for_s() == 7
    calls.spend(1)
    assert clock.slept_s == [7]
    assert calls.closed_for_s() == 0
