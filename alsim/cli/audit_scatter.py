"""Scatter plot of an audit: the learning of policies against their return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from alsim.cli.label_places import Rectangle, place_labels
from alsim.cli.plot_page import (
    GRID,
    INK,
    INNER,
    MARGIN,
    MUTED,
    SMALL,
    Block,
    Page,
    limits,
    width_of,
)

SCATTER, AXIS, LEFT = 250.0, 32.0, 44.0
"""Height of the diagram, and the space below and to the left for labels of axes, points."""
TEXT_HEIGHT, MARK = 10.0, 9.5
"""Height of a label, and width of a mark, points."""
NEAR, FAR, SAME = 12.0, 120.0, 6.0
"""Largest distance between a point and its name; and its number, and between points in the same place."""
BASELINE = "uniform"


class Mark(NamedTuple):
    """Mark of a kind of policy, and its meaning."""

    color: str
    marker: str
    size: float
    filled: bool
    meaning: str


EARNS = Mark("#b5532a", "D", 6.5, True, f"earns more than {BASELINE}, and teaches no more")
UNIFORM = Mark("#111111", "s", 6.5, False, f"{BASELINE}, with dotted lines at its return and learning")
PLAIN = Mark("#0b6e99", "o", 5.0, True, "other policies")


def mark_of(policies: Mapping[str, Mapping[str, Any]], label: str) -> Mark:
    """Return the mark of a policy."""
    if label == BASELINE:
        return UNIFORM
    return EARNS if policies[label]["earns_without_teaching"] else PLAIN


def key_of_marks(policies: Mapping[str, Mapping[str, Any]]) -> Block:
    """Return the key of the marks that are used."""
    used = {mark_of(policies, label) for label in policies}
    marks = [mark for mark in (EARNS, UNIFORM, PLAIN) if mark in used]
    height = 12.0

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN, top, INNER, height * len(marks))
        axes.set(xlim=(0, INNER), ylim=(len(marks) - 0.5, -0.5))
        axes.set_axis_off()
        for row, mark in enumerate(marks):
            draw_mark(axes, 6, row, mark)
            axes.text(16, row, mark.meaning, fontsize=SMALL, color=INK, va="center_baseline")

    return Block(height * len(marks) + 6, draw)


def draw_mark(axes: Any, x: float, y: float, mark: Mark) -> None:
    """Draw the mark of a policy."""
    face = mark.color if mark.filled else "white"
    settings = {"color": mark.color, "markerfacecolor": face, "markeredgewidth": 1.3, "linestyle": "none"}
    axes.plot([x], [y], marker=mark.marker, markersize=mark.size, zorder=3, **settings)


def _points(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return the return and the learning of the policies for which both are defined."""
    means = {label: (one["return"]["mean"], one["learning"]["mean"]) for label, one in policies.items()}
    return {label: (x, y) for label, (x, y) in means.items() if x is not None and y is not None}


def defined_ends(policies: Mapping[str, Mapping[str, Any]], metric: str) -> list[float]:
    """Return the defined means of a metric, and the ends of their intervals."""
    ends = [end for one in policies.values() for end in (one[metric]["mean"], *(one[metric]["ci"] or ()))]
    return [end for end in ends if end is not None]


class _Scale(NamedTuple):
    """Positions in the scatter plot, points from its lower left corner."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across, up = (x - self.x[0]) / (self.x[1] - self.x[0]), (y - self.y[0]) / (self.y[1] - self.y[0])
        return across * (INNER - LEFT), up * SCATTER

    def line(self, x: Sequence[float], y: Sequence[float]) -> Rectangle:
        """Return the rectangle that a horizontal or vertical line needs."""
        (left, bottom), (right, top) = self.at(x[0], y[0]), self.at(x[-1], y[-1])
        return Rectangle(left - 0.7, bottom - 0.7, right + 0.7, top + 0.7)


def _scale(policies: Mapping[str, Mapping[str, Any]]) -> _Scale:
    """Return the scale that contains all points and intervals."""
    return _Scale(limits(defined_ends(policies, "return"), 0.08), limits(defined_ends(policies, "learning"), 0.08))


def _bars(policies: Mapping[str, Mapping[str, Any]]) -> list[tuple[Sequence[float], Sequence[float], str]]:
    """Return the intervals of the points: horizontal and vertical positions, and the label of the policy."""
    found: list[tuple[Sequence[float], Sequence[float], str]] = []
    for label, (x, y) in _points(policies).items():
        across, up = policies[label]["return"]["ci"], policies[label]["learning"]["ci"]
        found += [(across, (y,), label)] if across else []
        found += [((x,), up, label)] if up else []
    return found


def _places(
    policies: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str], farthest: float
) -> dict[str, Rectangle] | None:
    """Return a free place for each text, points from the lower left corner; None if one has no place.

    texts  text by label of the policy whose point it belongs to
    """
    scale, points = _scale(policies), _points(policies)
    lines = [scale.line(x, y) for x, y, _ in _bars(policies)]
    if BASELINE in points:
        x, y = points[BASELINE]
        lines += [scale.line((x,), scale.y), scale.line(scale.x, (y,))]
    half = MARK / 2
    marks = [Rectangle(x - half, y - half, x + half, y + half) for x, y in (scale.at(*one) for one in points.values())]
    places = {label: scale.at(*points[label]) for label in texts}
    sizes = {label: (width_of(text, SMALL) + 2, TEXT_HEIGHT) for label, text in texts.items()}
    frame = Rectangle(1, 1, INNER - LEFT, SCATTER)
    for obstacles in ([*marks, *lines], marks):  # with many wide intervals, there may be no place that is free of them
        found = place_labels(places, sizes, MARK, frame, obstacles=obstacles, farthest=farthest)
        if found is not None:
            return found
    return None


def texts_of_points(policies: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """Return the texts of the points, and whether they are numbers: names, if each has a place close to its point.

    Points in almost the same place have one text with all their numbers.
    """
    points, scale = _points(policies), _scale(policies)
    own = {label: names[label] for label in names if label in points}
    if _places(policies, own, NEAR) is not None:
        return own, False
    numbers = {label: number for number, label in enumerate(names, start=1) if label in points}
    groups: dict[str, list[int]] = {}
    for label, number in numbers.items():
        near = (one for one in groups if math.dist(scale.at(*points[one]), scale.at(*points[label])) < SAME)
        groups.setdefault(next(near, label), []).append(number)
    return {label: _ranges(group) for label, group in groups.items()}, True


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers, such as "1–3, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def scatter(policies: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str]) -> Block:
    """Return the block of the scatter plot."""
    points, places = _points(policies), _places(policies, texts, FAR) or {}

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + LEFT, top, INNER - LEFT, SCATTER)
        scale = _scale(policies)
        axes.set(xlim=scale.x, ylim=scale.y)
        axes.set_xlabel("return (sum of rewards)", fontsize=SMALL)
        axes.set_ylabel("learning (LOs)", fontsize=SMALL, labelpad=2)
        axes.grid(color=GRID, linewidth=0.6)
        if BASELINE in points:
            axes.axvline(points[BASELINE][0], color=MUTED, linewidth=0.9, linestyle=":")
            axes.axhline(points[BASELINE][1], color=MUTED, linewidth=0.9, linestyle=":")
        for x, y, label in _bars(policies):
            across, up = (x, [*y] * len(x)) if len(y) == 1 else ([*x] * len(y), y)
            axes.plot(across, up, color=mark_of(policies, label).color, linewidth=0.9)
        for label, point in points.items():
            draw_mark(axes, *point, mark_of(policies, label))
        for label, place in places.items():
            _draw_text(axes, texts[label], points[label], place)
        if not points:
            axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", fontsize=SMALL, color=MUTED)

    return Block(SCATTER + AXIS + 4, draw)


def _draw_text(axes: Any, text: str, point: tuple[float, float], place: Rectangle) -> None:
    """Write the text of a point at its place, with a line to the point."""
    middle = ((place.left + place.right) / 2, (place.bottom + place.top) / 2)
    axes.annotate(
        text,
        point,
        (middle[0] / (INNER - LEFT), middle[1] / SCATTER),
        textcoords="axes fraction",
        ha="center",
        va="center",
        fontsize=SMALL,
        color=INK,
        parse_math=False,
        arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3},
        zorder=4,
    )


__all__ = ["AXIS", "Mark", "defined_ends", "draw_mark", "key_of_marks", "mark_of", "scatter", "texts_of_points"]
