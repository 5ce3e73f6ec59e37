"""What a soak calls flat: the last quarter against the first, with room for chance and none for a leak."""

from chaos.resources import Holding, Measure
from chaos.soak import Row, markdown, rows

BEGAN_S, LENGTH_S = 1000.0, 400.0
STEADY_AGES = [(BEGAN_S + second, 0.1 + second % 10 / 10) for second in range(400)]


def holdings(name: str, per_second: float) -> list[Holding]:
    """100 in the beginning, and so much more of it every second; before it something else altogether."""
    later = [Holding(BEGAN_S + second, {name: 100 + second * per_second}) for second in range(0, 400, 20)]
    return [Holding(BEGAN_S - 50, {name: 7.0}), *later]


def test_a_leak_is_not_flat() -> None:
    [leak, *_] = rows(holdings("files", 0.2), STEADY_AGES, [Measure("files", 1.05, 8)], BEGAN_S, LENGTH_S)
    assert leak == Row("files", [108.0, 128.0, 148.0, 168.0], False)


def test_a_little_more_by_chance_is_flat() -> None:
    [row, *_] = rows(holdings("files", 0.04), STEADY_AGES, [Measure("files", 1.05, 8)], BEGAN_S, LENGTH_S)
    assert row.flat


def test_a_measure_that_was_not_there_all_the_time_is_not_judged() -> None:
    short = [one for one in holdings("files", 0.2) if one.at_s < BEGAN_S + 150]
    assert [row.name for row in rows(short, STEADY_AGES, [Measure("files", 1, 0)], BEGAN_S, LENGTH_S)] == [
        "seconds from received to visible, p50",
        "seconds from received to visible, p95",
        "seconds from received to visible, p99",
    ]


def test_ages_that_grow_are_told_by_their_percentile() -> None:
    slower = [(at_s, age_s * (1 if at_s < BEGAN_S + 300 else 2)) for at_s, age_s in STEADY_AGES]
    found = rows([], slower, [], BEGAN_S, LENGTH_S)
    assert [(row.name[-3:], row.flat) for row in found] == [("p50", False), ("p95", False), ("p99", True)]
    told = markdown("Soak", ["a load"], found)
    assert "**Not flat: seconds from received to visible, p50, seconds from received to visible, p95.**" in told
    assert "| seconds from received to visible, p95 | 1 | 1 | 1 | 2 | 2.00 (!) |" in told
