"""The schedule of faults: a pure function, complete, and without two faults at one part at once."""

from itertools import pairwise

import pytest
from chaos.faults import FAULTS
from chaos.schedule import EVERYTHING, Kind, Planned, schedule

DECK = [
    Kind("producer killed", frozenset({"producer"}), (0, 0)),
    Kind("two producers", frozenset({"producer"}), (15, 40)),
    Kind("broker frozen", frozenset({"broker"}), (8, 30)),
    Kind("all terminated", frozenset({EVERYTHING}), (0, 0)),
]
HITS = {kind.name: kind.hits for kind in DECK}


def test_the_same_seed_and_length_make_the_same_schedule() -> None:
    assert schedule(7, 60, DECK) == [
        Planned(number=1, name="broker frozen", at_s=3.0, lasts_s=13.9),
        Planned(number=2, name="producer killed", at_s=10.1, lasts_s=0.0),
        Planned(number=3, name="two producers", at_s=19.0, lasts_s=39.6),
    ]
    assert schedule(7, 1200, DECK) == schedule(7, 1200, DECK)


def test_another_seed_makes_another_schedule() -> None:
    assert schedule(1, 1200, DECK) != schedule(2, 1200, DECK)


@pytest.mark.parametrize("seed", range(20))
def test_all_faults_have_ended_when_it_is_over(seed: int) -> None:
    plan = schedule(seed, 180, DECK)
    assert [one.number for one in plan] == list(range(1, len(plan) + 1))
    assert all(one.at_s + one.lasts_s <= 180 for one in plan)
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(plan))


@pytest.mark.parametrize("seed", range(20))
def test_each_fault_strikes_before_any_does_twice(seed: int) -> None:
    names = [one.name for one in schedule(seed, 1200, DECK)]
    assert sorted(names[:4]) == sorted(HITS)


@pytest.mark.parametrize("seed", range(20))
def test_two_faults_at_one_part_never_overlap(seed: int) -> None:
    plan = schedule(seed, 1200, DECK)
    for place, one in enumerate(plan):
        for other in plan[place + 1 :]:
            if HITS[one.name] & HITS[other.name] or EVERYTHING in HITS[one.name] | HITS[other.name]:
                assert other.at_s >= one.at_s + one.lasts_s


def test_an_empty_deck_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault"):
        schedule(1, 60, [])


def test_twenty_minutes_have_room_for_every_fault_of_the_table() -> None:
    kinds = [fault.kind for fault in FAULTS.values()]
    for seed in (1, 2, 3):
        assert {one.name for one in schedule(seed, 1200, kinds)} == set(FAULTS)


def test_the_deck_of_the_short_chaos_is_part_of_the_table() -> None:
    brief = [fault.kind for fault in FAULTS.values() if fault.brief]
    assert len(schedule(1, 180, brief)) >= 8
