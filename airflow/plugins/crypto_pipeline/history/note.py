"""The plan of a history run for people, as Markdown."""

import math
from collections.abc import Sequence
from pathlib import Path

import jinja2

from crypto_pipeline.history.plan import DayPlan

_TEMPLATES = Path(__file__).with_name("templates")


def note(plans: Sequence[DayPlan], weight_share: float) -> str:
    """What a plan of one day or more costs, a line a symbol."""
    symbols: dict[tuple[str, str], list[DayPlan]] = {}
    for plan in plans:
        symbols.setdefault((plan.exchange, plan.symbol), []).append(plan)
    environment = jinja2.Environment(  # noqa: S701 - Markdown: there is nothing to escape
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = spelled_duration
    return environment.get_template("plan.md").render(
        what=plans[0].what,
        symbols=symbols,
        plans=plans,
        share=weight_share,
        # days are limited by the weight that they share, so they are no faster side by side
        seconds=sum(plan.seconds for plan in plans),
    )


def spelled_duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 90 * 60:
        return f"{math.ceil(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
