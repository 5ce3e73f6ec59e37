"""When which fault strikes: a pure function of the seed, the length and the deck of faults."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

# Between two beginnings: long enough for most parts to come back, short enough for faults to meet.
_PAUSE_S = (7.0, 17.0)
_FIRST_S = 3.0

EVERYTHING = "everything"  # what a fault hits that must be alone


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault as far as the schedule must know it.

    hits: the parts that it disturbs; two faults that hit the same part never overlap. lasts_s: from, to.
    """

    name: str
    hits: frozenset[str]
    lasts_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault of the schedule. number: from 1; it also seeds what is random inside the fault."""

    number: int
    name: str
    at_s: float
    lasts_s: float

    @property
    def ends_at_s(self) -> float:
        return self.at_s + self.lasts_s


def schedule(
    seed: int, length_s: float, deck: Sequence[Kind], pause_s: tuple[float, float] = _PAUSE_S
) -> list[Planned]:
    """The faults in the order of their beginnings; all have ended when length_s is over.

    The deck is shuffled and dealt to its end, again and again, so each fault strikes before any does twice.
    pause_s: between two beginnings, from, to. Raises ValueError where the deck is empty.
    """
    if not deck:
        raise ValueError("no fault to choose from")
    random = Random(f"schedule:{seed}:{length_s:g}")
    free_at_s: dict[str, float] = {}
    planned: list[Planned] = []
    at_s = _FIRST_S
    for kind in _dealt(random, deck):
        lasts_s = round(random.uniform(*kind.lasts_s), 1)
        at_s = round(max([at_s, *(end_s for part, end_s in free_at_s.items() if _clash(part, kind))]), 1)
        if at_s >= length_s:
            break
        if at_s + lasts_s <= length_s:  # a shorter one may still fit
            planned.append(Planned(len(planned) + 1, kind.name, at_s, lasts_s))
            free_at_s |= dict.fromkeys(kind.hits, at_s + lasts_s + pause_s[0])
        at_s += random.uniform(*pause_s)
    return planned


def _dealt(random: Random, deck: Sequence[Kind]) -> Iterator[Kind]:
    while True:
        yield from random.sample(deck, len(deck))


def _clash(part: str, kind: Kind) -> bool:
    return part in kind.hits or EVERYTHING in (part, *kind.hits)
