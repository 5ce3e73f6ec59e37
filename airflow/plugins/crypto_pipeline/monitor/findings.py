"""What a run of the monitor found, as alerts: which of it holds, in words, and what its mail says."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crypto_pipeline.monitor import causes
from crypto_pipeline.monitor.alerts import Alert, Condition, settle
from crypto_pipeline.monitor.freshness import Freshness, State, read_tops
from crypto_pipeline.monitor.gaps import seconds_to_fetch
from crypto_pipeline.monitor.stream import StreamState
from crypto_pipeline.statements import rows

if TYPE_CHECKING:
    from psycopg2.extensions import connection

STREAM = "stream"
_LINES = 20  # of one symbol in a mail; the query shows the rest
_ROWS = 50  # of one cause in a mail

_CAUSE_OF_KIND = {
    "hole": causes.GAP,
    "stale tail": causes.STALLED_FEED,
    "candle difference": causes.CANDLE_DIFFERENCE,
}


def settle_stream(db: "connection", state: StreamState | None, driver: str, trouble: str = "") -> None:
    """Opens or closes what concerns the stream itself.

    state: None where the broker could not be asked; trouble then says why. driver: what the master says of it.
    """
    down: list[Condition] = []
    behind: list[Condition] = []
    if state is None:
        down.append(Condition(STREAM, f"{trouble}. Driver: {driver}.", "broker"))
    elif not state.passed:
        batch = "none" if state.batch_age_s is None else f"{state.batch_age_s:,.0f} s ago"
        detail = (
            f"{state.lag.messages:,} messages not read, the oldest for {state.lag.age_s:,.0f} s; newest batch: "
            f"{batch}; driver: {driver}."
        )
        (behind if state.moved else down).append(Condition(STREAM, detail, "behind" if state.moved else "down"))
    settle(db, causes.STREAM_DOWN, down)
    settle(db, causes.STREAM_BEHIND, behind)


def settle_feeds(
    db: "connection",
    found: Sequence[Freshness],
    away: Mapping[str, str],
    unjudged: Collection[str],
    since: datetime,
    weight_share: float,
) -> None:
    """Opens or closes what concerns exchanges and symbols.

    found: of the exchanges that were judged. away: why others did not answer. unjudged: exchanges, for whatever
    reason; what is open of them stays as it is. since: when the run began; gaps whose
    state has changed since are told, so that each is named once even if it was filled in the same run.
    """
    not_judged = {*away, *unjudged}

    def judged(about: str) -> bool:
        return about.partition(":")[0] not in not_judged

    refused = [Condition(exchange, reason) for exchange, reason in away.items()]
    settle(db, causes.EXCHANGE_AWAY, refused, lambda exchange: exchange not in unjudged)

    stalled = {_key(one): one for one in found if one.state is State.STALLED}
    by_cause = _gaps_by_cause(rows(db, "monitor/told_gaps", since=since))
    tails = by_cause[causes.STALLED_FEED]
    settle(
        db,
        causes.STALLED_FEED,
        [
            _feed_condition(about, stalled.get(about), tails.get(about, ()), weight_share)
            for about in sorted({*stalled, *tails})
        ],
        judged,
    )
    for cause in (causes.GAP, causes.CANDLE_DIFFERENCE):
        told = by_cause[cause].items()
        settle(db, cause, [_gap_condition(about, gaps, weight_share) for about, gaps in told])
    settle(
        db,
        causes.NEVER_DELIVERED,
        [
            Condition(_key(one), f"The exchange's newest trade is {one.newest}; none has ever arrived.")
            for one in _never_delivered(db, found)
        ],
        judged,
    )
    settle(
        db,
        causes.HALTED_MARKET,
        [
            Condition(_key(one), f"No trade since {_minute(one.traded_at)}; trade {one.newest} is the newest.")
            for one in found
            if one.state is State.HALTED
        ],
        judged,
    )


def mail_values(db: "connection", alerts: Sequence[Alert], run_url: str, now: datetime) -> dict[str, Any]:
    """The values of the templates `monitor/alerts`: sections by cause, those with something new first."""
    order = {"opened": 0, "changed": 1, "reminder": 2, "closed": 3}
    sections = []
    for what in sorted({alert.what for alert in alerts}):
        told = sorted(
            (alert for alert in alerts if alert.what == what),
            key=lambda alert: (order[alert.unsent], alert.opened_at, alert.about),
        )
        sections.append(
            {
                "cause": causes.cause_of(what),
                "open": any(alert.closed_at is None for alert in told),
                "alerts": [_told(alert, now) for alert in told[:_ROWS]],
                "more": max(0, len(told) - _ROWS),
            }
        )
    sections.sort(key=lambda section: not section["open"])
    return {
        "subject": _subject(alerts),
        "sections": sections,
        "notes": [
            f"{note.about}: {note.what}. {note.detail}"
            for note in rows(db, "monitor/standing_notes", notes=list(causes.NOTES))
        ],
        "run_url": run_url,
    }


def _never_delivered(db: "connection", found: Sequence[Freshness]) -> list[Freshness]:
    """Those of which still nothing is here: a run takes minutes, in which a feed that was starting delivers."""
    never = [one for one in found if one.state is State.NEVER_DELIVERED]
    here = {exchange: read_tops(db, exchange) for exchange in {one.exchange for one in never}}
    return [one for one in never if one.symbol not in here[one.exchange]]


def _gaps_by_cause(gaps: Iterable[Any]) -> dict[str, dict[str, list[Any]]]:
    found: dict[str, dict[str, list[Any]]] = {cause: {} for cause in _CAUSE_OF_KIND.values()}
    for gap in gaps:
        about = f"{gap.exchange}:{gap.symbol}"
        found[_CAUSE_OF_KIND[gap.kind]].setdefault(about, []).append(gap)
    return found


def _feed_condition(about: str, stalled: Freshness | None, gaps: Sequence[Any], weight_share: float) -> Condition:
    lines = []
    if stalled is not None and stalled.top is not None:
        lines.append(
            f"The newest trade here is {stalled.top} of {_minute(stalled.traded_at)}; the exchange had "
            f"{stalled.newest} at {stalled.asked_at.astimezone(UTC):%H:%M:%S}: {stalled.newest - stalled.top:,} "
            "ids further."
        )
    # the tail of a feed that stands grows with each run, which is no news
    gist = "stalled" if stalled is not None else "delivers again"
    given_up = sorted(gap.gap_id for gap in gaps if gap.state == "unfillable")
    return Condition(about, "\n".join(lines + _gap_lines(gaps, weight_share)), f"{gist} {given_up}")


def _gap_condition(about: str, gaps: Sequence[Any], weight_share: float) -> Condition:
    # that one is being filled, or was, is no news before all is over
    gist = sorted(f"{gap.gap_id}{' given up' if gap.state == 'unfillable' else ''}" for gap in gaps)
    return Condition(about, "\n".join(_gap_lines(gaps, weight_share)), ",".join(gist))


def _gap_lines(gaps: Sequence[Any], weight_share: float) -> list[str]:
    lines = [_gap_line(gap, weight_share) for gap in gaps[:_LINES]]
    if len(gaps) > _LINES:
        lines.append(f"... and {len(gaps) - _LINES} more")
    return lines


def _gap_line(gap: Any, weight_share: float) -> str:
    minutes = f"{_minute(gap.window_from)} to {_minute(gap.window_to)}"
    if gap.first_id is None:
        return f"{gap.kind}, minutes {minutes}: the exchange's candles are kept. {gap.detail}"
    ids = gap.last_id - gap.first_id + 1
    line = f"{gap.kind}, ids {gap.first_id} to {gap.last_id} ({ids:,}), minutes {minutes}: "
    if gap.state == "verified":
        line += f"{gap.trades_recovered:,} trades brought back, verified {_second(gap.verified_at)}"
    elif gap.state == "unfillable":
        line += f"given up after {gap.attempts} attempts, {gap.missing:,} ids missing"
    else:
        line += f"{gap.missing:,} ids missing, {gap.trades_recovered:,} trades brought back so far"
        takes_s = seconds_to_fetch(gap.exchange, gap.missing, weight_share)
        if takes_s > 60:
            line += f"; over REST this takes about {takes_s / 60:,.0f} min"
    return line + (f". {gap.detail}" if gap.detail and gap.state != "verified" else "")


def _told(alert: Alert, now: datetime) -> dict[str, Any]:
    words = {"opened": "new", "changed": "changed", "closed": "over", "reminder": "still"}
    until = alert.closed_at or now
    return {
        "news": words[alert.unsent],
        "about": alert.about,
        "since": _second(alert.opened_at),
        "lasted": _duration((until - alert.opened_at).total_seconds()),
        "closed": alert.closed_at is not None,
        "lines": (alert.detail or "").splitlines(),
    }


def _subject(alerts: Collection[Alert]) -> str:
    """As `2 new: gap (binance:BTC-USDT, kucoin:ETH-USDT); 1 over: stalled feed (binance:TRX-USDT)`."""
    parts = []
    for unsent, word in (("opened", "new"), ("changed", "changed"), ("reminder", "still"), ("closed", "over")):
        chosen = [alert for alert in alerts if alert.unsent == unsent]
        if chosen:
            whats = sorted({alert.what for alert in chosen})
            about = ", ".join(sorted({alert.about for alert in chosen})[:5])
            more = ", ..." if len({alert.about for alert in chosen}) > 5 else ""
            parts.append(f"{len(chosen)} {word}: {', '.join(whats)} ({about}{more})")
    return "; ".join(parts)


def _key(one: Freshness) -> str:
    return f"{one.exchange}:{one.symbol}"


def _minute(at: datetime | None) -> str:
    return "an unknown time" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _second(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
