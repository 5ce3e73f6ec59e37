"""The report of a chaos: what was done, what was seen, what is promised and whether it held."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from chaos.fault import Fault
from chaos.story import Aftermath
from chaos.timeline import timeline
from chaos.unleash import Chaos


def write(chaos: Chaos, faults: Mapping[str, Fault], folder: Path) -> Path:
    """Writes the report and its picture; returns the report."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"seed_{chaos.seed}_{_minutes(chaos):.0f}_minutes"
    picture = folder / f"{name}.svg"
    last = max([chaos.ended, *(one.over for one in chaos.told)])
    picture.write_text(timeline(chaos.told, chaos.began, last))
    report = folder / f"{name}.md"
    report.write_text(markdown(chaos, faults, picture.name))
    return report


def markdown(chaos: Chaos, faults: Mapping[str, Fault], picture: str) -> str:
    """The report as text."""
    judgement = chaos.judgement
    lost = sum(one.lost for one in chaos.told) + chaos.lost_unexplained
    lines = [
        f"# Chaos with seed {chaos.seed}: {_minutes(chaos):.0f} minutes, {len(chaos.told)} faults",
        "",
        f"{'Every promise held' if judgement.holds else '**Not every promise held**'}: "
        f"{len(judgement.wrong)} of {sum(judgement.minutes.values())} minutes of bars wrong or not vouched for, "
        f"{lost:,} trades lost on the wire.",
        "",
        f"- load: {chaos.rate:,.0f} trades/s of {chaos.symbols} symbols of both exchanges",
        f"- judged: the minutes from {judgement.since:%Y-%m-%d %H:%M} to {judgement.until:%H:%M} UTC: "
        + _listed(judgement.minutes),
        f"- whole again {chaos.quiet_s:.0f} s after the last fault had ended",
        f"- gaps in the ledger: {_listed(judgement.gaps)}",
        f"- alerts: {_listed(judgement.alerts)}; {judgement.mails} mails",
        f"- rejected messages: {judgement.rejected}",
        f"- trades lost on the wire that no fault explains: {chaos.lost_unexplained:,}",
        *(f"- left out: {name} ({why})" for name, why in chaos.left_out.items()),
        "",
        f"![A bar a fault, dark while it lasted, light until it was made up for]({picture})",
        "",
        "*Detected*: how long after its beginning something was amiss from outside: a program not running, a "
        "symbol's newest trade more than 15 s old, an id missing, an alert. *Repaired*: how long after its end "
        "none of that was amiss any more. What showed after the next fault had begun is told there, whatever the "
        "reason.",
        "",
        "| # | fault | hit | at | lasted | detected after | as | repaired after | lost on the wire | bars wrong |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(one, chaos) for one in chaos.told),
    ]
    for title, found in (("Wrong bars", judgement.wrong), ("Other broken promises", judgement.lies)):
        if found:
            lines += ["", f"## {title}", "", *(f"- {what}" for what in found)]
    lines += ["", "## The faults", "", "| fault | what breaks |", "|---|---|"]
    lines += [
        f"| {name} | {faults[name].breaks} |" for name in sorted({one.occurrence.name for one in chaos.told})
    ]
    return "\n".join([*lines, ""])


def _row(one: Aftermath, chaos: Chaos) -> str:
    occurrence = one.occurrence
    wrong = sum(_concerns(line, one) for line in chaos.judgement.wrong)
    cells = [
        str(occurrence.number),
        occurrence.name,
        occurrence.note if not occurrence.trouble else f"{occurrence.note} (not done: {occurrence.trouble})",
        _after(chaos.began, occurrence.began),
        _after(occurrence.began, occurrence.ended),
        "not at all" if one.seen is None else _after(occurrence.began, one.seen),
        ", ".join(one.troubles),
        "" if one.seen is None else "never" if one.repaired is None else _after(occurrence.ended, one.repaired),
        f"{one.lost:,}",
        str(wrong),
    ]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _concerns(line: str, one: Aftermath) -> bool:
    """Whether a wrong minute, which begins `exchange symbol HH:MM`, lies within a fault."""
    minute = line.split()[2]
    return f"{one.occurrence.began:%H:%M}" <= minute <= f"{one.over:%H:%M}"


def _after(earlier: datetime, later: datetime) -> str:
    return f"{max(0.0, (later - earlier).total_seconds()):.0f} s"


def _minutes(chaos: Chaos) -> float:
    return (chaos.ended - chaos.began).total_seconds() / 60


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
