"""What became of each fault: when it was seen, when made up for, what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from chaos.fault import Fault
from chaos.watch import Sample

# What shows so long after the end of a fault is not its doing.
_SHOWS_WITHIN = timedelta(seconds=45)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A fault that was done. note: what exactly it hit. trouble: why it could not be done, or ended, if so."""

    number: int
    name: str
    began: datetime
    ended: datetime
    note: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """An occurrence, and what was seen of it.

    seen: when something was first amiss after its beginning, and before that of the next, that was not before;
    None: nothing ever was. troubles: what. repaired: when, after its end, each of them had been over; None: not
    before the end, or nothing was seen. lost: trades lost on the wire, each counted for the fault that began last.
    """

    occurrence: Occurrence
    seen: datetime | None
    troubles: tuple[str, ...]
    repaired: datetime | None
    lost: int

    @property
    def over(self) -> datetime:
        """When it was over: repaired, or ended where nothing was seen."""
        return max(self.occurrence.ended, self.repaired or self.occurrence.ended)


def aftermaths(
    occurrences: Sequence[Occurrence], samples: Sequence[Sample], faults: Mapping[str, Fault]
) -> list[Aftermath]:
    """What became of each. samples: in their order in time."""
    told = _aftermaths(occurrences, samples)
    lost = _attributed(told, samples, faults)
    return [
        Aftermath(one.occurrence, one.seen, one.troubles, one.repaired, lost.get(one.occurrence.number, 0))
        for one in told
    ]


def unexplained_losses(
    occurrences: Sequence[Occurrence], samples: Sequence[Sample], faults: Mapping[str, Fault]
) -> int:
    """Trades lost on the wire while no fault could have lost them."""
    return _attributed(_aftermaths(occurrences, samples), samples, faults).get(0, 0)


def _aftermaths(occurrences: Sequence[Occurrence], samples: Sequence[Sample]) -> list[Aftermath]:
    ends = [later.began for later in occurrences[1:]]
    ends += [one.ended + _SHOWS_WITHIN for one in occurrences[-1:]]
    return [
        _aftermath(one, min(end, one.ended + _SHOWS_WITHIN), samples)
        for one, end in zip(occurrences, ends, strict=True)
    ]


def _aftermath(occurrence: Occurrence, shows_until: datetime, samples: Sequence[Sample]) -> Aftermath:
    before = next((s.troubles for s in reversed(samples) if s.at < occurrence.began), {})
    new: dict[str, datetime] = {}
    for sample in samples:
        if occurrence.began <= sample.at < shows_until:
            for name, count in sample.troubles.items():
                if count > before.get(name, 0):
                    new.setdefault(name, sample.at)
    if not new:
        return Aftermath(occurrence, None, (), None, 0)
    overs = [
        next(
            (
                sample.at
                for sample in samples
                if sample.at >= max(occurrence.ended, at) and sample.troubles.get(name, 0) <= before.get(name, 0)
            ),
            None,
        )
        for name, at in new.items()
    ]
    known = [at for at in overs if at is not None]
    repaired = max(known) if len(known) == len(overs) else None
    return Aftermath(occurrence, min(new.values()), tuple(sorted(new)), repaired, 0)


def _attributed(
    told: Sequence[Aftermath], samples: Sequence[Sample], faults: Mapping[str, Fault]
) -> dict[int, int]:
    """Losses by the number of the fault; 0 for those without one."""
    found: dict[int, int] = {}
    for earlier, sample in pairwise(samples):
        if count := max(0, sample.lost - earlier.lost):
            able = [
                one.occurrence
                for one in told
                if faults[one.occurrence.name].loses
                and one.occurrence.began <= sample.at <= one.over + _SHOWS_WITHIN
            ]
            number = max(able, key=lambda one: one.began).number if able else 0
            found[number] = found.get(number, 0) + count
    return found
