"""Pictures of measurements as SVG: bars beside each other, and curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10

_WIDTH = 860
_FONT = "font-family='Helvetica, Arial, sans-serif'"
_INK, _SOFT, _GRID = "#1f2933", "#616e7c", "#d9dee4"
COLOURS = ("#2f6f9f", "#d98c3f", "#5b8f5a", "#9a5b8f")


@dataclass(frozen=True)
class Bar:
    """label: what it is. value: its length; low, high: the spread. note: beside it. ours: stands out."""

    label: str
    value: float
    low: float
    high: float
    note: str
    ours: bool = False


@dataclass(frozen=True)
class Curve:
    """points: (x, y), by growing x."""

    label: str
    points: Sequence[tuple[float, float]]


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Groups of bars under each other, all on one scale from 0, with the spread as a line."""
    left, right, row = 240, 250, 26
    longest = max(bar.high for _, group in groups for bar in group)
    scale = (_WIDTH - left - right) / longest
    parts = [_text(16, 28, title, size=16, weight="bold")]
    y = 48
    for name, group in groups:
        y += 20
        parts.append(_text(16, y, name, colour=_SOFT))
        y += 10
        for bar in group:
            colour = COLOURS[0] if bar.ours else "#a9b7c4"
            parts.append(
                _text(left - 10, y + 16, bar.label, anchor="end", weight="bold" if bar.ours else "normal")
            )
            parts.append(
                f"<rect x='{left}' y='{y + 4}' width='{bar.value * scale:.1f}' height='16' fill='{colour}'/>"
            )
            middle = y + 12
            parts.append(
                f"<line x1='{left + bar.low * scale:.1f}' x2='{left + bar.high * scale:.1f}' y1='{middle}' "
                f"y2='{middle}' stroke='{_INK}' stroke-width='1.5'/>"
            )
            parts.append(_text(left + bar.high * scale + 8, y + 16, bar.note))
            y += row
    return _document(parts, y + 16)


def curves(title: str, x_title: str, y_title: str, lines: Sequence[Curve]) -> str:
    """Lines over a logarithmic x axis (0 stands at its left end), y from 0."""
    left, top, height, width = 64, 56, 240, _WIDTH - 64 - 170
    xs = sorted({x for line in lines for x, _ in line.points})
    smallest = min(x for x in xs if x > 0)
    start = smallest / 4 if 0 in xs else smallest
    span = log10(max(xs) / start) or 1.0  # of a single point
    highest = _round_up(max(y for line in lines for _, y in line.points))

    def place(x: float, y: float) -> tuple[float, float]:
        return left + width * log10(max(x, start) / start) / span, top + height * (1 - y / highest)

    parts = [_text(16, 28, title, size=16, weight="bold"), _text(16, 46, y_title, colour=_SOFT)]
    for part in range(5):
        x, y = place(start, highest * part / 4)
        parts.append(f"<line x1='{left}' x2='{left + width}' y1='{y:.1f}' y2='{y:.1f}' stroke='{_GRID}'/>")
        parts.append(_text(x - 8, y + 4, f"{highest * part / 4:g}", anchor="end", colour=_SOFT))
    for value in xs:
        x, y = place(value, 0)
        parts.append(_text(x, y + 18, f"{value:,g}", anchor="middle", colour=_SOFT))
    parts.append(_text(left + width / 2, top + height + 38, x_title, anchor="middle", colour=_SOFT))
    for colour, line in zip(COLOURS, lines, strict=False):
        placed = [place(x, y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in placed]
        parts.append(_text(placed[-1][0] + 10, placed[-1][1] + 4, line.label, colour=colour))
    return _document(parts, top + height + 56)


def _text(
    x: float,
    y: float,
    text: str,
    size: int = 13,
    weight: str = "normal",
    anchor: str = "start",
    colour: str = _INK,
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' {_FONT} font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' "
        f"fill='{colour}'>{escape(text)}</text>"
    )


def _document(parts: Sequence[str], height: float) -> str:
    frame = f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height:.0f}'>"
    return "\n".join([frame, "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>"]) + "\n"


def _round_up(value: float) -> float:
    step = 10 ** (ceil(log10(value)) - 1)
    return ceil(value / step) * step
