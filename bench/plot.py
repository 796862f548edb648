"""The table as a picture: how far each figure is from its floor and its aim."""

import math
from html import escape

from bench.rows import Row

_HEIGHT, _LABEL, _WIDTH = 22, 520, 420
_SPAN = 8.0
"""Bars run from an eighth of the floor to eight times it."""


def bars(found: list[Row]) -> str:
    """SVG; the vertical line is the floor, the mark on each bar's line its aim. Further right is better."""
    height = _HEIGHT * (len(found) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LABEL + _WIDTH + 90}" height="{height}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="100%" height="{height}" fill="white"/>',
        f'<line x1="{_x(1):.0f}" x2="{_x(1):.0f}" y1="10" y2="{height - 20}" stroke="#888"/>',
        f'<text x="{_x(1):.0f}" y="{height - 6}" text-anchor="middle" fill="#555">floor</text>',
    ]
    for n, row in enumerate(found):
        y = _HEIGHT * (n + 1)
        good = _goodness(row, row.value)
        colour = "#2a7" if good >= _goodness(row, row.aim) else "#59c" if good >= 1 else "#c53"
        aim = _x(_goodness(row, row.aim))
        parts += [
            f'<text x="{_LABEL - 10}" y="{y + 4}" text-anchor="end">{escape(row.name)}</text>',
            f'<rect x="{_LABEL}" y="{y - 6}" width="{_x(good) - _LABEL:.0f}" height="12" fill="{colour}"/>',
            f'<line x1="{aim:.0f}" x2="{aim:.0f}" y1="{y - 8}" y2="{y + 8}" stroke="#222" stroke-width="2"/>',
            f'<text x="{_LABEL + _WIDTH + 8}" y="{y + 4}">{row.value:.2f} {row.unit}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def _goodness(row: Row, value: float) -> float:
    """1 at the floor, more when better."""
    if row.floor == 0:
        return _SPAN if value == 0 else 1 / _SPAN
    ratio = row.floor / max(value, 1e-9) if row.less_is_better else value / row.floor
    return min(_SPAN, max(1 / _SPAN, ratio))


def _x(goodness: float) -> float:
    return _LABEL + _WIDTH * (math.log(goodness) / math.log(_SPAN) + 1) / 2
