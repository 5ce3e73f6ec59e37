"""A chaos: the demo under load, faults by the schedule, quiet until it is whole again, the verdict."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from chaos.fault import Fault
from chaos.ground import Ground, Site, Surroundings
from chaos.judgement import Judgement, judge
from chaos.schedule import Planned, schedule
from chaos.story import Aftermath, Occurrence, aftermaths, unexplained_losses
from chaos.watch import Sample, watching
from model.demo import Demo, wait_until

MONITOR = "crypto_pipeline_monitor_dag"
_MINUTE = timedelta(minutes=1)
_CANDLES_SETTLE = timedelta(seconds=15)  # the monitor compares a minute with its candle no earlier

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chaos:
    """What happened. began, ended: of the faults. quiet_s: until all was whole again.

    lost_unexplained: trades lost on the wire while no fault could have lost them. left_out: faults that cannot be
    done here, with the reason.
    """

    seed: int
    symbols: int
    rate: float
    began: datetime
    ended: datetime
    quiet_s: float
    told: Sequence[Aftermath]
    samples: Sequence[Sample]
    lost_unexplained: int
    judgement: Judgement
    left_out: Mapping[str, str] = field(default_factory=dict)


def unleash(
    demo: Demo,
    around: Surroundings,
    keys: Sequence[tuple[str, str]],
    faults: Mapping[str, Fault],
    *,
    seed: int,
    length_s: float,
    rate: float,
    quiet_within_s: float,
) -> Chaos:
    """Starts the demo, lets the faults loose on it, and judges what is left.

    around: what it runs on. keys: (exchange, symbol) of all that it carries. faults: by name.
    seed, length_s: of the schedule. rate: trades a second that the demo is given, for the report.
    quiet_within_s: how long the pipeline may take to become whole after the last fault.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request hides the faults
    demo.start()
    begun = "select count(distinct (exchange, symbol)) from trades_1min_agg"
    wait_until(lambda: demo.query(begun) == [(len(keys),)], 240, "a bar of each symbol")
    since = _minute(datetime.now(UTC)) + _MINUTE  # the first minute of which all was carried
    addresses = demo.addresses()
    left_out = {name: around.no_disk for name, fault in faults.items() if fault.needs_disk and not around.disk}
    with demo.truth() as truth:
        ground = Ground(demo, truth, around, addresses, keys)
        with watching(ground) as watch:
            began = datetime.now(UTC)
            plan = schedule(seed, length_s, [fault.kind for name, fault in faults.items() if name not in left_out])
            occurrences = _strike(ground, plan, faults, seed, length_s)
            truth.end_faults()
            ended = datetime.now(UTC)
            _log.info("quiet")
            until = _minute(ended) + _MINUTE
            quiet_since = time.monotonic()

            def verdict() -> tuple[list[Aftermath], Judgement]:
                told = aftermaths(occurrences, watch.samples, faults)
                return told, judge(ground, since, until, told, faults)

            def whole() -> bool:
                if datetime.now(UTC) < until + _CANDLES_SETTLE:
                    return False
                judgement = verdict()[1]
                _log.info("%d minutes wrong; %s", len(judgement.wrong), "; ".join(judgement.lies) or "no lie")
                return judgement.holds

            _become_whole(demo, whole, quiet_since + quiet_within_s)
            quiet_s = time.monotonic() - quiet_since
            told, judgement = verdict()
            return Chaos(
                seed,
                len(keys),
                rate,
                began,
                ended,
                quiet_s,
                told,
                list(watch.samples),
                unexplained_losses(occurrences, watch.samples, faults),
                judgement,
                left_out,
            )


def _strike(
    ground: Ground, plan: Sequence[Planned], faults: Mapping[str, Fault], seed: int, length_s: float
) -> list[Occurrence]:
    """Begins and ends each fault at its time; returns when length_s is over."""
    began = time.monotonic()
    ongoing: list[_Ongoing] = []
    occurrences: list[Occurrence] = []

    def pass_time(until_s: float) -> None:
        for one in sorted(ongoing, key=lambda one: one.planned.ends_at_s):
            if one.planned.ends_at_s <= until_s:
                time.sleep(max(0.0, began + one.planned.ends_at_s - time.monotonic()))
                ongoing.remove(one)
                occurrences.append(_end(one))
        time.sleep(max(0.0, began + until_s - time.monotonic()))

    try:
        for planned in plan:
            pass_time(planned.at_s)
            if ground.demo.has_ended():
                raise AssertionError(f"the demo ended by itself: {ground.demo.output[-2000:]}")
            site = Site(ground, Random(f"{seed}:{planned.number}:{planned.name}"))
            ongoing.append(_begin(planned, site, faults[planned.name]))
        pass_time(length_s)
    finally:
        for one in ongoing:  # none, unless the chaos itself was interrupted
            _end(one)
    return sorted(occurrences, key=lambda one: one.number)


@dataclass(frozen=True, slots=True)
class _Ongoing:
    """A fault that has begun, or could not be: trouble says why."""

    planned: Planned
    site: Site
    context: AbstractContextManager[None]
    began: datetime
    trouble: str


def _begin(planned: Planned, site: Site, fault: Fault) -> _Ongoing:
    began = datetime.now(UTC)
    context = fault.doing(site)
    trouble = _trouble_of(context.__enter__)
    _log.info("%d. %s: %s %s", planned.number, planned.name, ", ".join(site.notes), trouble)
    return _Ongoing(planned, site, context, began, trouble)


def _end(one: _Ongoing) -> Occurrence:
    trouble = one.trouble or _trouble_of(lambda: one.context.__exit__(None, None, None))
    note = ", ".join(one.site.notes)
    return Occurrence(one.planned.number, one.planned.name, one.began, datetime.now(UTC), note, trouble)


def _trouble_of(action: Callable[[], object]) -> str:
    """Does it; what went wrong, which another fault may be the reason of, and which must not end the chaos."""
    try:
        action()
    except Exception as error:
        _log.warning("not done", exc_info=True)
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _become_whole(demo: Demo, whole: Callable[[], bool], deadline: float) -> None:
    """Runs the monitor until all is as promised, or the time is over; the verdict then says what is not."""
    while time.monotonic() < deadline:
        try:
            _log.info("the monitor's run: %s", demo.run_dag(MONITOR, max(60.0, deadline - time.monotonic())))
            if whole():
                return
        except Exception:  # a part that is still coming back: the deadline decides
            _log.warning("not whole yet", exc_info=True)
            time.sleep(2)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
