"""Whether the pipeline kept its promises: bars, rejected messages, gaps, alerts and mails against the truth."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chaos.fault import FEED, Fault
from chaos.ground import Ground
from chaos.story import Aftermath
from model.verdict import unsettled_minutes

# The monitor runs every five minutes, and a run on a busy machine takes minutes.
_TOLD_WITHIN = timedelta(minutes=10)
_FUTURE = "traded_at_us is more than 10 s after received_at_us"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on the minutes [since, until).

    wrong: minutes whose bar is not what was traded, or that nothing vouches for. minutes: how many are of each
    completeness. lies: what else is not as promised, in words. rejected: messages in rejected_messages.
    gaps: the ledger by kind and state. alerts: by cause. mails: how many came.
    """

    since: datetime
    until: datetime
    wrong: list[str]
    minutes: dict[str, int]
    lies: list[str]
    rejected: int
    gaps: dict[str, int]
    alerts: dict[str, int]
    mails: int

    @property
    def holds(self) -> bool:
        return not self.wrong and not self.lies


def judge(
    ground: Ground, since: datetime, until: datetime, told: Sequence[Aftermath], faults: Mapping[str, Fault]
) -> Judgement:
    """The verdict, after all faults are over."""
    query = ground.demo.query
    alerts = query(
        "select what, about, opened_at, closed_at, mails_sent, unsent from alerts where opened_at >= %s", since
    )
    gaps = query("select kind, state, exchange, symbol, ids, detected_at, detail from gaps")
    mails = ground.demo.mails()
    return Judgement(
        since,
        until,
        unsettled_minutes(ground.demo, ground.truth, ground.keys, since, until),
        _minutes(ground, since, until),
        [
            *_bar_lies(ground),
            *_rejected_lies(ground),
            *_gap_lies(ground, since, until, gaps, told, faults),
            *_alert_lies(alerts, told, faults),
            *_mail_lies(alerts, mails),
        ],
        query("select count(*) from rejected_messages")[0][0],
        _counted(f"{kind}, {state}" for kind, state, *_ in gaps),
        _counted(what for what, *_ in alerts),
        len(mails),
    )


def _minutes(ground: Ground, since: datetime, until: datetime) -> dict[str, int]:
    rows = ground.demo.query(
        "select completeness, count(*) from bars_1min where window_start >= %s and window_start < %s "
        "group by completeness order by completeness",
        *(since, until),
    )
    return {str(name): int(count) for name, count in rows}


def _bar_lies(ground: Ground) -> Iterator[str]:
    """No bar is of a minute to come, or of a symbol that nobody trades."""
    for exchange, symbol, minute in ground.demo.query(
        "select exchange, symbol, window_start from trades_1min_agg where window_start > now() "
        "or not (exchange, symbol) in %s",
        tuple(ground.keys),
    ):
        yield f"there is a bar of {exchange} {symbol} {minute:%Y-%m-%d %H:%M}, and can be none"


def _rejected_lies(ground: Ground) -> Iterator[str]:
    """Every message that was planted is there (once, by the table's key), and of the others only true ones."""
    rows = ground.demo.query('select "partition", "offset", value, reason from rejected_messages')
    due = {place for place, stayed in ground.planted.items() if stayed}
    for partition, offset in sorted(due - {(row[0], row[1]) for row in rows}):
        yield f"the bad message at partition {partition}, offset {offset} is not in rejected_messages"
    misdated: dict[tuple[str, str], set[int]] = {}
    for partition, offset, value, reason in rows:
        if (partition, offset) in ground.planted:
            continue
        trade = json.loads(bytes(value)) if reason.startswith(_FUTURE) else {}
        key = str(trade.get("exchange")), str(trade.get("symbol"))
        if key in ground.keys and key not in misdated:
            misdated[key] = set(ground.truth.sent(*key).faults.get("future_dates", ()))
        if trade.get("trade_id") not in misdated.get(key, ()):
            yield f"a good message was rejected, at partition {partition}, offset {offset}: {reason}"


def _gap_lies(
    ground: Ground,
    since: datetime,
    until: datetime,
    gaps: Sequence[Any],
    told: Sequence[Aftermath],
    faults: Mapping[str, Fault],
) -> Iterator[str]:
    for kind, state, exchange, symbol, ids, detected_at, detail in gaps:
        about = f"{kind} of {exchange}:{symbol} {ids or ''}"
        if state in ("detected", "filling"):
            yield f"the {about} is still {state}"
        if state == "unfillable" and not detail:
            yield f"the {about} is unfillable, and nobody knows why"
        explained = any(
            (faults[one.occurrence.name].loses or faults[one.occurrence.name].alerts & FEED)
            and one.occurrence.began <= detected_at <= one.over + _TOLD_WITHIN
            for one in told
        )
        if not explained:
            yield f"the {about} was recorded at {detected_at:%H:%M:%S}, and no fault explains it"
    unnamed = ground.demo.query(
        "select exchange, symbol, window_start from bars_1min as bar where completeness = 'candle' "
        "and window_start >= %s and window_start < %s and not exists (select from gaps "
        "where gaps.exchange = bar.exchange and gaps.symbol = bar.symbol "
        "and window_from <= window_start and window_start < window_to)",
        *(since, until),
    )
    for exchange, symbol, minute in unnamed:
        yield f"{exchange} {symbol} {minute:%H:%M} shows a candle, and no gap says why"


def _alert_lies(alerts: Sequence[Any], told: Sequence[Aftermath], faults: Mapping[str, Fault]) -> Iterator[str]:
    for what, about, opened_at, closed_at, _, unsent in alerts:
        if what == "halted market":
            continue
        if closed_at is None:
            yield f"the alert {what} about {about} is still open"
        if unsent is not None:
            yield f"nobody was told that the alert {what} about {about} was {unsent}"
        explained = any(
            what in faults[one.occurrence.name].alerts
            and one.occurrence.began <= opened_at <= one.over + _TOLD_WITHIN
            for one in told
        )
        if not explained:
            yield f"the alert {what} about {about}, opened at {opened_at:%H:%M:%S}, has no fault that explains it"


def _mail_lies(alerts: Sequence[Any], mails: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each alert that says it was mailed is named by so many mails."""
    for what, about, _, _, mails_sent, _ in alerts:
        naming = sum(about in mail["subject"] + mail["text"] for mail in mails)
        if naming < mails_sent:
            yield f"the alert {what} about {about} says {mails_sent} mails, and {naming} name it"


def _counted(names: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in sorted(names):
        counts[name] = counts.get(name, 0) + 1
    return counts
