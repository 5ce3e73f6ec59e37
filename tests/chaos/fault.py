"""What a fault is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from chaos.ground import Site
from chaos.schedule import Kind

Doing = Callable[[Site], AbstractContextManager[None]]

# What the monitor may truly say of a fault, as the causes of its alerts are called.
STREAM = frozenset({"stream down", "stream behind"})
FEED = frozenset({"stalled feed", "gap", "candle difference"})
REST = frozenset({"exchange away"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that can be done to a running demo.

    kind: its name and what the schedule must know. breaks: in words, for the report.
    doing: makes a context that begins the fault, and ends it.
    loses: whether trades may be lost on the wire by it. alerts: what people may be told of it.
    brief: whether a chaos of three minutes has it: it is over, and made up for, within seconds.
    needs_disk: whether it can be done only where the database has a disk of its own.
    """

    kind: Kind
    breaks: str
    doing: Doing
    loses: bool = False
    alerts: frozenset[str] = frozenset()
    brief: bool = False
    needs_disk: bool = False


def fault(
    name: str,
    breaks: str,
    doing: Doing,
    *hits: str,
    lasts_s: tuple[float, float] = (0, 0),
    loses: bool = False,
    alerts: frozenset[str] = frozenset(),
    brief: bool = False,
    needs_disk: bool = False,
) -> Fault:
    return Fault(Kind(name, frozenset(hits), lasts_s), breaks, doing, loses, alerts, brief, needs_disk)
