"""The picture of a chaos: a bar a fault, dark while it lasted, light until it was made up for."""

from collections.abc import Sequence
from datetime import datetime
from xml.sax.saxutils import escape

from chaos.story import Aftermath

_ROW, _LEFT, _WIDTH, _TOP = 14, 190, 900, 24
_LASTED, _REPAIRING, _NEVER = "#b3261e", "#f2c4a0", "#7a4fbf"


def timeline(told: Sequence[Aftermath], began: datetime, ended: datetime) -> str:
    """An SVG. ended: the right edge."""
    length_s = max(1.0, (ended - began).total_seconds())

    def x(at: datetime) -> float:
        return round(_LEFT + min(1.0, max(0.0, (at - began).total_seconds() / length_s)) * _WIDTH, 1)

    height = _TOP + _ROW * len(told) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}" '
        'font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for minute in range(int(length_s // 60) + 1):
        at = round(_LEFT + minute * 60 / length_s * _WIDTH, 1)
        lines.append(f'<line x1="{at}" y1="{_TOP - 6}" x2="{at}" y2="{height - 6}" stroke="#dddddd"/>')
        lines.append(f'<text x="{at}" y="{_TOP - 10}" text-anchor="middle" fill="#555555">{minute} min</text>')
    for place, one in enumerate(told):
        y, occurrence = _TOP + place * _ROW, one.occurrence
        begin, end = x(occurrence.began), x(occurrence.ended)
        lines.append(
            f'<text x="{_LEFT - 6}" y="{y + 9}" text-anchor="end">{occurrence.number}. '
            f"{escape(occurrence.name)}</text>"
        )
        if one.seen is not None:
            colour, until = (_REPAIRING, x(one.repaired)) if one.repaired else (_NEVER, x(ended))
            lines.append(_bar(x(one.seen), until, y + 2, colour))
        lines.append(_bar(begin, max(end, begin + 2), y + 2, _LASTED))
    return "\n".join([*lines, "</svg>", ""])


def _bar(begin: float, end: float, y: int, colour: str) -> str:
    return f'<rect x="{begin}" y="{y}" width="{round(max(1.0, end - begin), 1)}" height="9" fill="{colour}"/>'
