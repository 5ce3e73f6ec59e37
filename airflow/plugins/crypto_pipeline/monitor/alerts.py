"""Alerts: what holds, since when, and which of it a mail has yet to tell.

The table `alerts` holds one row from when something opens until it is over. Whoever checks something calls
`settle` with what it found; whoever mails calls `collect`, sends, and calls `told`. A mail that cannot be sent
stays unsent, since nothing is marked before it went out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from crypto_pipeline.monitor.causes import EVENTS, NOTES
from crypto_pipeline.statements import rows

if TYPE_CHECKING:
    from psycopg2.extensions import connection

REMIND_EVERY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds and that people should know.

    about: whom it concerns: `binance:BTC-USDT`, an exchange, the stream. detail: what is known, in lines.
    gist: the part of it that does not change by itself; a mail tells of a change when this one changes.
    """

    about: str
    detail: str
    gist: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of `alerts` that a mail has yet to tell. unsent: as what."""

    alert_id: int
    what: str
    about: str
    detail: str
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    mails_sent: int
    unsent: Literal["opened", "changed", "closed", "reminder"]


def settle(
    db: "connection",
    what: str,
    conditions: Iterable[Condition],
    judged: Callable[[str], bool] = lambda about: True,
) -> None:
    """Opens, updates and closes the alerts of one cause, so that those open are these conditions.

    judged: whether one about this could be judged now; an alert that could not be stays as it is.
    """
    found = list(conditions)
    for condition in found:
        rows(
            db,
            "monitor/see_alert",
            what=what,
            about=condition.about,
            detail=condition.detail,
            gist=condition.gist,
            mailed=what not in NOTES,
        )
    holding = {condition.about for condition in found}
    over = [
        alert.alert_id
        for alert in rows(db, "monitor/open_alerts", what=what)
        if alert.about not in holding and judged(alert.about)
    ]
    if over:
        rows(db, "monitor/close_alerts", alert_ids=over)


def collect(db: "connection", now: datetime | None = None, remind_every_s: float = REMIND_EVERY_S) -> list[Alert]:
    """What the next mail has to tell; empty: none is due."""
    now = now or datetime.now(UTC)
    rows(db, "monitor/adopt_alerts", notes=list(NOTES))
    rows(db, "monitor/close_events", events=list(EVENTS), now=now)
    rows(db, "monitor/remind_of_alerts", now=now, every_s=remind_every_s)
    return [Alert(**row._asdict()) for row in rows(db, "monitor/unsent_alerts")]


def told(db: "connection", alerts: Sequence[Alert], now: datetime | None = None) -> None:
    """A mail has told of these."""
    for alert in alerts:
        rows(
            db,
            "monitor/mark_alert_sent",
            alert_id=alert.alert_id,
            unsent=alert.unsent,
            now=now or datetime.now(UTC),
        )
