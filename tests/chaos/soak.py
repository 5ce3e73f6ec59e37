"""What an hour without faults showed: each measure in its four quarters, and what did not stay flat."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from chaos.resources import Holding, Measure

# The age of trades may differ so much between quarters without anything having changed: the machine is shared.
_AGE_TIMES, _AGE_SLACK_S = 1.15, 0.05
_QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A measure's medians in the quarters; of ages the percentile itself. flat: last against first."""

    name: str
    quarters: list[float]
    flat: bool


def rows(
    holdings: Sequence[Holding],
    ages: Sequence[tuple[float, float]],
    measures: Sequence[Measure],
    began_s: float,
    length_s: float,
) -> list[Row]:
    """All measures that were there in every quarter, then the ages of trades."""
    found = []
    for measure in measures:
        quarters = _in_quarters([(one.at_s, one.held.get(measure.name)) for one in holdings], began_s, length_s)
        if all(quarters):
            medians = [median(quarter) for quarter in quarters]
            found.append(Row(measure.name, medians, medians[-1] <= medians[0] * measure.times + measure.slack))
    by_quarter = _in_quarters(ages, began_s, length_s)
    for percent in (50, 95, 99):
        reached = [quantiles(quarter, n=100)[percent - 1] for quarter in by_quarter]
        flat = reached[-1] <= reached[0] * _AGE_TIMES + _AGE_SLACK_S
        name = f"seconds from received to visible, p{percent}"
        found.append(Row(name, reached, flat or percent == 99))  # the last percent is the machine's other work
    return found


def markdown(title: str, told: Sequence[str], found: Sequence[Row]) -> str:
    """The report. told: what else to say above the table."""
    leaks = [row.name for row in found if not row.flat]
    lines = [
        f"# {title}",
        "",
        f"**Not flat: {', '.join(leaks)}.**" if leaks else "Everything stayed flat.",
        "",
        *(f"- {line}" for line in told),
        "",
        "Medians of each quarter of the time. A measure is flat where its last quarter is not above its first by "
        "more than what `tests/chaos/resources.py` allows it, as of memory a tenth and 20 MB; p99 is not judged, "
        "being the machine's other work. Memory is what a process has made itself, and its part of what it "
        "shares.",
        "",
        "| measure | 1st quarter | 2nd | 3rd | 4th | last to first |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        ratio = f"{row.quarters[-1] / row.quarters[0]:.2f}" if row.quarters[0] else ""
        cells = [row.name, *(f"{value:,.4g}" for value in row.quarters), ratio + ("" if row.flat else " (!)")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _in_quarters(
    values: Sequence[tuple[float, float | None]], began_s: float, length_s: float
) -> list[list[float]]:
    quarters: list[list[float]] = [[] for _ in range(_QUARTERS)]
    for at_s, value in values:
        place = int((at_s - began_s) / length_s * _QUARTERS)
        if value is not None and 0 <= place < _QUARTERS and at_s >= began_s:
            quarters[place].append(value)
    return quarters
