"""SVG plots for a page: small enough for a phone, coloured by the page's style.

Written here rather than by matplotlib, whose SVG holds fixed colours, neither dark nor light as the
reader's page is, and which only the extra ``plot`` installs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Sequence

WIDTH, HEIGHT = 400, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 14, 42  # a number stands half beside the last tick
COLOURS = 8  # of the style, then they come again, dashed


@dataclass(frozen=True)
class Axis:
    """What is along an axis, and how: from 0 (``zero``), in whole numbers (``counted``), by powers
    of ten (``log``), or of things that have ``labels`` and stand at 0, 1, 2 …
    """

    name: str
    zero: bool = False
    counted: bool = False
    log: bool = False
    labels: Sequence[str] = ()

    def at(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self, values: Sequence[float]) -> list[tuple[float, str]]:
        """The places of the ticks, from the least to the greatest, and what is written there."""
        if self.labels:
            inner = [(float(number), text) for number, text in enumerate(self.labels)]
            return [(-0.5, ""), *inner, (len(self.labels) - 0.5, "")]
        if self.log:
            return _powers(values)
        scale = ticks(values, self.zero, self.counted)
        return [(tick, _number(tick, scale)) for tick in scale]


@dataclass(frozen=True)
class Series:
    """Lines of one colour, each a list of (x, y), and what they stand for.

    ``dots``: where its points are shown; those of a line of one always are.
    """

    name: str
    lines: Sequence[Sequence[tuple[float, float]]]
    colour: int
    dots: bool = False


class _Plane:
    """Two axes over ``points``."""

    def __init__(self, points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> None:
        self._x, self._y = x, y
        self._x_ticks = x.ticks([x for x, _ in points])
        self._y_ticks = y.ticks([y for _, y in points])

    def x(self, value: float) -> float:
        return LEFT + _along(self._x.at(value), self._x_ticks) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        height = HEIGHT - TOP - BOTTOM
        return HEIGHT - BOTTOM - _along(self._y.at(value), self._y_ticks) * height

    def way(self, line: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in line)

    def axes(self) -> list[str]:
        floor = HEIGHT - BOTTOM
        drawn = []
        for place, text in self._y_ticks:
            y = floor - _along(place, self._y_ticks) * (floor - TOP)
            drawn.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            drawn.append(_text(LEFT - 6, y + 4, text, "end"))
        for place, text in self._x_ticks:
            x = LEFT + _along(place, self._x_ticks) * (WIDTH - LEFT - RIGHT)
            if text:
                drawn.append(f'<path class="grid" d="M{x:.1f} {floor}v4"/>')
                drawn.append(_text(x, floor + 17, text, "middle"))
        drawn.append(f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        drawn.append(_text(middle, HEIGHT - 6, self._x.name, "middle"))
        half = (TOP + floor) / 2
        turned = f'transform="rotate(-90 12 {half:.0f})"'
        drawn.append(_text(12, half, self._y.name, "middle", turned))
        return drawn


def lines(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    title: str,
    *,
    guide: Sequence[tuple[float, float]] = (),
    marks: Sequence[tuple[float, float]] = (),
) -> str:
    """Lines over a plane, those that come later over the others; ``guide`` is a dashed one.

    ``marks`` are points that stand out.
    """
    points = [point for each in series for line in each.lines for point in line]
    plane = _Plane([*points, *guide, *marks], x, y)
    drawn = plane.axes()
    if guide:
        drawn.append(f'<path class="guide" d="{plane.way(guide)}"/>')
    for each in series:
        for line in each.lines:
            if len(line) > 1:
                drawn.append(f'<path class="line {style(each.colour)}" d="{plane.way(line)}"/>')
            if each.dots or len(line) == 1:
                drawn += [_dot(plane.x(x), plane.y(y), each.colour) for x, y in line]
    for left, up in marks:
        place = f'cx="{plane.x(left):.1f}" cy="{plane.y(up):.1f}"'
        drawn.append(f'<circle class="mark" {place} r="5"/>')
    return _svg(drawn, title)


def bars(
    rows: Sequence[tuple[str, float, Sequence[float]]],
    name: str,
    title: str,
    colour: int | None = None,
) -> str:
    """A bar a row (name, mean, values), each of a ``colour`` of its own, or all of one; the values
    are dots on it.
    """
    each = 38
    height = TOP + each * len(rows) + BOTTOM
    values = [value for _, mean, dots in rows for value in (mean, *dots)]
    scale = ticks(values, True)
    width = WIDTH - 2 * RIGHT

    def x(value: float) -> float:
        return RIGHT + _part(value, scale) * width

    floor = height - BOTTOM
    drawn = []
    for tick in scale:
        drawn.append(f'<path class="grid" d="M{x(tick):.1f} {TOP}V{floor}"/>')
        drawn.append(_text(x(tick), floor + 17, _number(tick, scale), "middle"))
    for number, (label, mean, dots) in enumerate(rows):
        top = TOP + each * number
        drawn.append(_text(RIGHT + 2, top + 11, label, "start"))
        kind = style(number if colour is None else colour)
        drawn.append(
            f'<rect class="{kind}" x="{RIGHT}" y="{top + 16}" height="14" '
            f'width="{x(mean) - RIGHT:.1f}"/>'
        )
        drawn += [f'<circle class="mark" cx="{x(d):.1f}" cy="{top + 23}" r="2.2"/>' for d in dots]
    drawn.append(_text(WIDTH / 2, height - 6, name, "middle"))
    return _svg(drawn, title, height)


def scatter(
    points: Sequence[tuple[str, float, float]],
    front: Sequence[int],
    x: Axis,
    y: Axis,
    title: str,
) -> str:
    """Points (name, x, y), those of ``front`` (by number, in order) joined by a line."""
    plane = _Plane([point[1:] for point in points], x, y)
    drawn = plane.axes()
    drawn.append(f'<path class="guide" d="{plane.way([points[i][1:] for i in front])}"/>')
    for number, (_, left, up) in enumerate(points):
        drawn.append(_dot(plane.x(left), plane.y(up), number, 5.5 if number in front else 3.5))
    return _svg(drawn, title)


def style(number: int) -> str:
    """The class of the colour ``number``."""
    return f"c{number % COLOURS}" + (" again" if number >= COLOURS else "")


def ticks(values: Sequence[float], zero: bool, whole: bool = False) -> list[float]:
    """Round numbers around ``values``, about five: from 0 if ``zero``, no halves if ``whole``."""
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = (0.0, 2 * high) if high > 0 else (2 * low, 1.0)
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    factors = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(factor * power for factor in factors if factor * power >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def _powers(values: Sequence[float]) -> list[tuple[float, str]]:
    """Powers of ten around ``values``, and where these are few what lies between, by logarithm."""
    low, high = (math.log10(value) for value in (min(values), max(values)))
    first = math.floor(low + 1e-9)
    last = max(math.ceil(high - 1e-9), first + 1)
    every = -(-(last - first) // 5)
    factors = (1, 2, 5) if last - first == 1 else (1,)
    powers = range(first, last + every, every)
    places = [power + math.log10(factor) for power in powers for factor in factors]
    start = max(i for i, place in enumerate(places) if place <= low + 1e-9)
    end = min(i for i, place in enumerate(places) if place >= high - 1e-9)
    chosen = places[start : max(end, start + 1) + 1]
    return [(place, f"{10**place:.3g}") for place in chosen]


def _along(value: float, scale: Sequence[tuple[float, str]]) -> float:
    return _part(value, [place for place, _ in scale])


def _part(value: float, scale: Sequence[float]) -> float:
    return (value - scale[0]) / (scale[-1] - scale[0])


def _number(value: float, scale: Sequence[float]) -> str:
    """With so many digits as tell the ticks apart."""
    step = scale[1] - scale[0]
    if abs(scale[-1]) >= 1e6 or step < 1e-5:
        return f"{value:.3g}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if not math.isclose(step, round(step, digits), rel_tol=1e-6):  # 2.5, 0.25
        digits += 1
    return f"{value:,.{digits}f}"


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def _dot(x: float, y: float, number: int, radius: float = 3) -> str:
    return f'<circle class="{style(number)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _svg(drawn: Sequence[str], title: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(drawn)}</svg>"
    )
