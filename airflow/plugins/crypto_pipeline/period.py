"""Stretches of whole UTC minutes: what audits and histories are asked for."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


class BadPeriod(ValueError):
    """A period that cannot be had; the message says why, and names the parameter."""


@dataclass(frozen=True, slots=True)
class Period:
    """The minutes that open in [start, end)."""

    start: datetime
    end: datetime

    def days(self, partly: bool = False) -> list["Period"]:
        """The UTC days that lie in the period as a whole; partly: also the parts of the others."""
        day = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        found = []
        while day < self.end:
            part = Period(max(day, self.start), min(day + DAY, self.end))
            if partly or part.end - part.start == DAY:
                found.append(part)
            day += DAY
        return found


def read_period(now: datetime, start: str | None, end: str | None, lookback: timedelta) -> Period:
    """The period from one ISO time to another, whole minutes; without them what lies `lookback` before now.

    Ends two minutes ago at the latest: by then an exchange has closed its candles. Raises BadPeriod.
    """
    latest = (now.astimezone(UTC) - 2 * MINUTE).replace(second=0, microsecond=0)
    until = min(_read_time("to", end), latest) if end else latest
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    since = _read_time("from", start) if start else min(hour, until) - lookback
    if since >= until:
        raise BadPeriod(f"from: {since:%Y-%m-%d %H:%M} is not before {until:%Y-%m-%d %H:%M}, where the audit ends")
    return Period(since, until)


def to_us(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def _read_time(name: str, text: str) -> datetime:
    """The minute that an ISO text names, in UTC where it names no zone. Raises BadPeriod."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadPeriod(f"{name}: {text!r} is no time: write it as 2026-11-21T10:00") from error
    time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    return time.replace(second=0, microsecond=0)
