"""Plots lines over the number of series as an SVG, both axes logarithmic. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 50
DECADES_ACROSS: Final = (3.0, 6.1)
"""Powers of 10 on the x axis: 1,000 to slightly more than 1,000,000 series."""
DECADES_UP: Final = (-1.0, 4.5)


@dataclass(frozen=True, slots=True)
class Line:
    """A line: title, key in the points, colour."""

    name: str
    key: str
    colour: str


def plot(title: str, points: Sequence[Mapping[str, float]], lines: Sequence[Line]) -> str:
    """Return the plot."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        '<g font-family="sans-serif" font-size="13" fill="#444">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{title}</text>',
        *_grid(),
    ]
    for number, line in enumerate(lines):
        parts += _drawn(line, points, 44 + 18 * number)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _grid() -> Iterator[str]:
    for power in range(math.ceil(DECADES_ACROSS[0]), math.floor(DECADES_ACROSS[1]) + 1):
        x = _x(10.0**power)
        yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{10**power:,}</text>'
    for power in range(math.ceil(DECADES_UP[0]), math.floor(DECADES_UP[1]) + 1):
        y = _y(10.0**power)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">series</text>'


def _drawn(line: Line, points: Sequence[Mapping[str, float]], legend: int) -> Iterator[str]:
    places = [(_x(point["series"]), _y(point[line.key])) for point in points if point[line.key] > 0]
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path d="M{way}" fill="none" stroke="{line.colour}" stroke-width="2"/>'
    for x, y in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"/>'
    yield f'<text x="{LEFT + 14}" y="{TOP + legend - 24}" fill="{line.colour}">{line.name}</text>'


def _x(series: float) -> float:
    return _between(series, DECADES_ACROSS, LEFT, WIDTH - RIGHT)


def _y(cost: float) -> float:
    return _between(cost, DECADES_UP, HEIGHT - BOTTOM, TOP)


def _between(value: float, decades: tuple[float, float], low: float, high: float) -> float:
    lowest, highest = decades
    return low + (math.log10(max(value, 10**lowest)) - lowest) / (highest - lowest) * (high - low)
