"""Figure of an audit of the reward: return against learning, and final mastery against the goal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alsim.cli.label_places import Rectangle, place_labels
from alsim.cli.plot_page import (
    FAINT,
    GRID,
    INK,
    INNER,
    MARGIN,
    MUTED,
    SMALL,
    TITLE,
    Block,
    Page,
    heading,
    limits,
    note,
    paragraph,
    short_names,
    stack,
    width_of,
)
from alsim.utils.figures import write_figure
from alsim.utils.text import counted

SCATTER, AXIS, LEFT, ROW = 250.0, 32.0, 34.0, 13.5
"""Sizes of the diagrams, points: height of the scatter plot, space for labels of axes, height of a row."""
TEXT_HEIGHT, MARK = 10.0, 8.0
"""Height of a label, and width of a mark, points."""
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


def draw_audit(file: Path, report: Mapping[str, Any]) -> None:
    """Draw the learning of policies against their return, and their final mastery, and write the file atomically.

    report  the JSON values of the audit: policies, rank_correlation and goal
    """
    policies, goal = report["policies"], report["goal"]
    order = sorted(policies, key=lambda label: -_or(policies[label]["final_mastery"]["mean"], -math.inf))
    names = short_names(order)
    texts, numbered = _texts(policies, names)
    rows = {label: f"{k}. {name}" if numbered else name for k, (label, name) in enumerate(names.items(), start=1)}
    blocks = [
        paragraph("Does the reward reward learning?", TITLE, weight="bold"),
        note(f"{_correlation(report['rank_correlation'])} Thin lines: 95 % intervals."),
        heading(f"Learning and return of {counted(len(policies), 'policy', 'policies')}"),
        *([note("The numbers of the policies are those of the list below.")] if numbered else []),
        _marks(policies),
        _scatter(policies, texts),
        heading(f"Mastery at the end, after at most {counted(goal['steps'], 'interaction')}"),
        note(_goal(goal, names)),
        _final(policies, goal, rows),
    ]
    write_figure(stack(blocks), file)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _correlation(found: Mapping[str, Any]) -> str:
    """Return a sentence about the rank correlation of return and learning."""
    if found["value"] is None:
        return "The rank correlation of return and learning is undefined."
    ci = found["ci"]
    interval = "" if ci is None else f", 95 % interval {_signed(ci[0])} to {_signed(ci[1])}"
    return f"Rank correlation of return and learning: {_signed(found['value'])}{interval}."


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _goal(goal: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return sentences about the goal: whether it is feasible, and how many interactions the best policy needs."""
    verdict = {
        True: "was reached",
        False: "is out of reach: it lies above an upper bound",
        None: "was not reached, and may be out of reach",
    }[goal["feasible"]]
    text = f"The goal, a mean mastery of {goal['mastery']:g}, {verdict}."
    if goal["best_mastery"] is not None:
        text += f" Best: {names.get(goal['best_policy'], goal['best_policy'])}, {goal['best_mastery']:.3f}."
    if goal["steps_needed"] is not None:
        text += f" Under a longer limit, it needs {counted(goal['steps_needed'], 'interaction')}."
    return text


# ── return and learning ──────────────────────────────────────────────────────────────────────────


def _mark(policies: Mapping[str, Mapping[str, Any]], label: str) -> Mark:
    """Return the mark of a policy."""
    if label == BASELINE:
        return UNIFORM
    return EARNS if policies[label]["earns_without_teaching"] else PLAIN


def _marks(policies: Mapping[str, Mapping[str, Any]]) -> Block:
    """Return the key of the marks that are used."""
    used = {_mark(policies, label) for label in policies}
    marks = [mark for mark in (EARNS, UNIFORM, PLAIN) if mark in used]
    height = 12.0

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN, top, INNER, height * len(marks))
        axes.set(xlim=(0, INNER), ylim=(len(marks) - 0.5, -0.5))
        axes.set_axis_off()
        for row, mark in enumerate(marks):
            _draw_mark(axes, 6, row, mark)
            axes.text(16, row, mark.meaning, fontsize=SMALL, color=INK, va="center_baseline")

    return Block(height * len(marks) + 6, draw)


def _draw_mark(axes: Any, x: float, y: float, mark: Mark) -> None:
    face = mark.color if mark.filled else "white"
    settings = {"color": mark.color, "markerfacecolor": face, "markeredgewidth": 1.3, "linestyle": "none"}
    axes.plot([x], [y], marker=mark.marker, markersize=mark.size, zorder=3, **settings)


def _points(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return the return and the learning of the policies for which both are defined."""
    means = {label: (one["return"]["mean"], one["learning"]["mean"]) for label, one in policies.items()}
    return {label: (x, y) for label, (x, y) in means.items() if x is not None and y is not None}


def _view(policies: Mapping[str, Mapping[str, Any]], metric: str) -> tuple[float, float]:
    """Return the limits of an axis, which contain all intervals."""
    ends = [end for one in policies.values() for end in (one[metric]["mean"], *(one[metric]["ci"] or ()))]
    return limits([end for end in ends if end is not None], 0.08)


def _places(policies: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str]) -> dict[str, Rectangle] | None:
    """Return a free place for the text of each point, points from the lower left corner; None if one has no place."""
    (left, right), (low, high) = _view(policies, "return"), _view(policies, "learning")
    width = INNER - LEFT
    points = {
        label: ((x - left) / (right - left) * width, (y - low) / (high - low) * SCATTER)
        for label, (x, y) in _points(policies).items()
    }
    sizes = {label: (width_of(texts[label], SMALL) + 2, TEXT_HEIGHT) for label in points}
    return place_labels(points, sizes, MARK, Rectangle(1, 1, width, SCATTER))


def _texts(policies: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """Return the texts of the points, and whether they are numbers: names, if each has a place without overlaps."""
    if _places(policies, names) is not None:
        return dict(names), False
    return {label: str(number) for number, label in enumerate(names, start=1)}, True


def _scatter(policies: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str]) -> Block:
    """Return the block of the scatter plot."""
    points, places = _points(policies), _places(policies, texts) or {}

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + LEFT, top, INNER - LEFT, SCATTER)
        axes.set(xlim=_view(policies, "return"), ylim=_view(policies, "learning"))
        axes.set_xlabel("return (sum of rewards)", fontsize=SMALL)
        axes.set_ylabel("learning (LOs)", fontsize=SMALL)
        axes.grid(color=GRID, linewidth=0.6)
        if BASELINE in points:
            axes.axvline(points[BASELINE][0], color=MUTED, linewidth=0.9, linestyle=":")
            axes.axhline(points[BASELINE][1], color=MUTED, linewidth=0.9, linestyle=":")
        for label, (x, y) in points.items():
            mark, one = _mark(policies, label), policies[label]
            axes.plot(one["return"]["ci"] or [], [y, y] if one["return"]["ci"] else [], color=mark.color, linewidth=0.9)
            axes.plot([x, x] if one["learning"]["ci"] else [], one["learning"]["ci"] or [], color=mark.color, linewidth=0.9)
            _draw_mark(axes, x, y, mark)
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


# ── final mastery ────────────────────────────────────────────────────────────────────────────────


def _final(policies: Mapping[str, Mapping[str, Any]], goal: Mapping[str, Any], rows: Mapping[str, str]) -> Block:
    """Return the block of dots with intervals of final mastery, and of lines at the goal and at the upper bound."""
    height, names = len(rows) * ROW, max(width_of(name, SMALL) for name in rows.values()) + 6
    width = INNER - names - 8
    lines = {"goal": (goal["mastery"], "--")}
    if goal["upper_bound"] is not None:
        lines["upper bound"] = (goal["upper_bound"], "-.")

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + names, top + 14 * len(lines), width, height)
        ends = [end for one in policies.values() for end in (one["final_mastery"]["mean"], *(one["final_mastery"]["ci"] or ()))]
        axes.set_xlim(limits([*(end for end in ends if end is not None), *(x for x, _ in lines.values())]))
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="")
        axes.set_yticks(range(len(rows)), [*rows.values()], parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("mean mastery over LOs (0 to 1)", fontsize=SMALL)
        axes.grid(color=GRID, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        for level, (name, (x, style)) in enumerate(lines.items()):
            _draw_limit(axes, f"{name} {x:.3g}", x, style, 14 * level + 3)
        for row, label in enumerate(rows):
            _draw_final(axes, row, policies[label]["final_mastery"], _mark(policies, label))

    return Block(14 * len(lines) + height + AXIS, draw)


def _draw_limit(axes: Any, text: str, x: float, style: str, above: float) -> None:
    """Draw a vertical line, with its name above the diagram."""
    low, high = axes.get_xlim()
    share = (x - low) / (high - low)
    axes.axvline(x, color=INK, linewidth=1.1, linestyle=style)
    axes.annotate(
        text,
        (x, 1),
        (0, above),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="right" if share > 0.7 else "left" if share < 0.3 else "center",
        fontsize=SMALL,
        color=INK,
        arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "relpos": (min(max(share, 0), 1), 0)},
    )


def _draw_final(axes: Any, row: int, one: Mapping[str, Any], mark: Mark) -> None:
    """Draw the mean and interval of final mastery of a policy."""
    if one["mean"] is None:
        place = {"transform": axes.get_yaxis_transform(), "ha": "center", "va": "center"}
        axes.text(0.5, row, "undefined", fontsize=SMALL, color=MUTED, **place)
        return
    if one["ci"]:
        axes.plot(one["ci"], [row, row], color=mark.color, linewidth=1.5, solid_capstyle="butt")
    _draw_mark(axes, one["mean"], row, mark)


__all__ = ["draw_audit"]
