"""Figure of a comparison of policies: a leaderboard, learning curves, and the endings of the episodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.cli.plot_page import (
    FAINT,
    GRID,
    INNER,
    MARGIN,
    MUTED,
    OTHERS,
    SMALL,
    STYLES,
    TITLE,
    Block,
    Page,
    Style,
    heading,
    label_ends,
    limits,
    note,
    paragraph,
    short_names,
    stack,
    width_of,
)
from alsim.evaluation.metrics import COMPARED
from alsim.types import Doubles, Longs, Reason
from alsim.utils.figures import any_script, write_figure
from alsim.utils.text import counted

if TYPE_CHECKING:
    from alsim.evaluation.outcomes import Course

ROW, AXIS = 13.5, 32.0
"""Heights of a row of the leaderboard, and of the labels below a diagram, points."""
CURVES, ENDING = 190.0, 96.0
"""Heights of the diagrams of mastery, and of an ending, points."""
LEFT, GAP = 44.0, 14.0
"""Widths of the labels of a vertical axis, and of the space between the diagrams of the leaderboard, points."""
BOARD = ("learning", "cumulative_reward")
"""Metrics of the leaderboard; the first one sorts it."""
LEADERS = 5
"""Number of policies with the most learning that are highlighted, if there are more policies than styles."""
EXTREMES = 2
"""Number of other policies that the diagram of an ending names."""
BASELINE = "uniform"
"""Policy that is always highlighted."""
ENDINGS = {
    "gave up (critical frustration)": (Reason.CRITICAL_FRUSTRATION,),
    "reached mastery": (Reason.MASTERY_ACHIEVED,),
    "still running; those left at {steps} end by the step limit": (Reason.NONE, Reason.STEP_LIMIT),
}
"""Titles of the diagrams of endings, with the rows of `Course.ended` that each shows the sum of."""


class Ranking(NamedTuple):
    """Policies in the order of the leaderboard."""

    names: dict[str, str]
    """Shown name of each policy, by label."""
    styles: dict[str, Style]
    """Styles of the highlighted policies, by label."""

    def style(self, label: str) -> Style:
        """Return the style of a policy."""
        return self.styles.get(label, OTHERS)

    @property
    def back_to_front(self) -> list[str]:
        """Labels of the policies in the order of drawing: the first ones last, on top of the others."""
        return sorted(reversed(self.names), key=lambda label: label in self.styles)

    @property
    def remark(self) -> str:
        """Explanation of the highlighting; empty if all policies are highlighted."""
        others = len(self.names) - len(self.styles)
        if not others:
            return ""
        baseline = f", and {BASELINE}" if BASELINE in self.styles else ""
        return (
            f"With names: the {LEADERS} policies with the most learning, the one with the highest return{baseline}. "
            f"Thin grey lines: the other {others}."
        )


@any_script()
def draw_comparison(file: Path, report: Mapping[str, Any], courses: Mapping[str, Course]) -> None:
    """Draw the results of a comparison, and write the file atomically.

    report   the JSON values of `Comparison.to_dict`
    courses  course of the episodes of each policy, `Comparison.courses`
    """
    policies = report["policies"]
    ranking = rank(policies)
    blocks = [
        paragraph(f"Comparison of {counted(len(policies), 'policy', 'policies')}", TITLE, weight="bold"),
        note(_introduction(report)),
        heading("Learning and return"),
        _leaderboard(ranking, policies),
        heading("Mean mastery, with pointwise 95 % intervals"),
        *([note(ranking.remark)] if ranking.remark else []),
        _curves(ranking, courses),
        heading("Cumulative share of learners, by the end of their episode"),
        *_endings(ranking, courses),
    ]
    write_figure(stack(blocks), file)


def rank(policies: Mapping[str, Mapping[str, Any]]) -> Ranking:
    """Return the policies sorted by learning, undefined means last, and choose those to highlight."""
    order = sorted(policies, key=lambda label: -_mean(policies[label]["learning"], -math.inf))
    shown = order
    if len(order) > len(STYLES):
        best = max(order, key=lambda label: _mean(policies[label]["cumulative_reward"], -math.inf))
        shown = [label for k, label in enumerate(order) if k < LEADERS or label in (best, BASELINE)]
    return Ranking(short_names(order), dict(zip(shown, STYLES, strict=False)))


def _mean(statistic: Mapping[str, Any], undefined: float) -> float:
    return undefined if statistic["mean"] is None else float(statistic["mean"])


def _introduction(report: Mapping[str, Any]) -> str:
    """Return the number of learners, the seed, and an explanation of the intervals."""
    learners = report["learners"]
    intervals = (
        f"Bars are 95 % intervals over {'classes' if report['independent_unit'] == 'class' else 'learners'}, drawn "
        "where they are wider than the marks."
        if learners > 1
        else "No intervals: they need at least two learners."
    )
    return f"{counted(learners, 'held-out learner')}, seed {report['seed']}, the same for all policies. {intervals}"


# ── leaderboard ──────────────────────────────────────────────────────────────────────────────────


def _leaderboard(ranking: Ranking, policies: Mapping[str, Mapping[str, Any]]) -> Block:
    """Return the block of dots with intervals: one row per policy, one diagram per metric."""
    height = len(ranking.names) * ROW
    names_width = max(width_of(name, SMALL) for name in ranking.names.values()) + 6
    width = (INNER - names_width - GAP * (len(BOARD) - 1)) / len(BOARD) - 6

    def draw(page: Page, top: float) -> None:
        for k, metric in enumerate(BOARD):
            axes = page.axes(MARGIN + names_width + k * (width + GAP), top, width, height)
            _draw_dots(axes, ranking, {label: policies[label][metric] for label in ranking.names})
            unit = COMPARED[metric].unit
            axes.set_xlabel(COMPARED[metric].label + (f" ({unit})" if unit else " (sum of rewards)"), fontsize=SMALL)
            axes.set_yticks(range(len(ranking.names)), [*ranking.names.values()] if k == 0 else [], parse_math=False)
            axes.tick_params(axis="y", length=0)

    return Block(height + AXIS, draw)


def _draw_dots(axes: Any, ranking: Ranking, statistics: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the mean and the interval of each policy; the first policy is at the top."""
    ends = [end for one in statistics.values() for end in (one["mean"], *(one["ci"] or ())) if end is not None]
    axes.set(xlim=limits(ends), ylim=(len(statistics) - 0.5, -0.5))
    axes.grid(color=GRID, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    if axes.get_xlim()[0] < 0 < axes.get_xlim()[1]:
        axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.xaxis.get_major_locator().set_params(nbins=4)
    for row, (label, one) in enumerate(statistics.items()):
        style = ranking.style(label)
        color = MUTED if style is OTHERS else style.color
        if one["mean"] is None:
            axes.text(0.5, row, "undefined", transform=axes.get_yaxis_transform(), **_CENTERED)
            continue
        if one["ci"]:
            axes.plot(one["ci"], [row, row], color=color, linewidth=1.5, solid_capstyle="butt")
        marker = "o" if style is OTHERS else style.marker
        axes.plot(
            [one["mean"]],
            [row],
            color=color,
            marker=marker,
            markersize=4.5,
            linestyle="none",
            gid=f"mean of policy {row + 1}",
        )


_CENTERED: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL, "color": MUTED}

# ── curves over the interactions ─────────────────────────────────────────────────────────────────


def _curves(ranking: Ranking, courses: Mapping[str, Course]) -> Block:
    """Return the block of mean mastery over the interactions."""

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + LEFT, top, _curve_width(ranking), CURVES)
        axes.set_ylim(limits(np.concatenate([curve for one in courses.values() for curve in one[:3]]), 0.03))
        for label in ranking.styles:
            low, high = courses[label].low, courses[label].high
            axes.fill_between(np.arange(len(low)), low, high, color=ranking.style(label).color, alpha=0.2, linewidth=0)
        _draw_lines(axes, ranking, {label: course.mastery for label, course in courses.items()}, CURVES)
        axes.set_ylabel("mean mastery (0 to 1)", fontsize=SMALL, labelpad=2)
        axes.set_xlabel("interactions", fontsize=SMALL)

    return Block(CURVES + AXIS + 4, draw)


def _endings(ranking: Ranking, courses: Mapping[str, Course]) -> list[Block]:
    """Return the blocks of the endings, each with the share of learners over the interactions."""
    steps = len(next(iter(courses.values())).mastery) - 1
    blocks = []
    for title, rows in ENDINGS.items():
        shares = {label: 100 * np.asarray(one.ended)[list(rows)].sum(axis=0) for label, one in courses.items()}
        text = title.format(steps=steps)
        if any(share.any() for share in shares.values()):
            blocks.append(_ending(ranking, text, shares, lowest=Reason.NONE in rows))
        else:
            blocks.append(paragraph(f"{text}: no learner under any policy", after=8.0))
    return blocks


def _ending(ranking: Ranking, title: str, shares: Mapping[str, Doubles], *, lowest: bool) -> Block:
    """Return the block of one ending, which also names the other policies with the most extreme shares.

    lowest  whether the lowest shares are named; else the highest
    """
    others = [label for label in ranking.names if label not in ranking.styles]
    extreme = sorted(others, key=lambda label: shares[label][-1] * (1 if lowest else -1))[:EXTREMES]

    def draw(page: Page, top: float) -> None:
        page.text(MARGIN, top, title, SMALL)
        axes = page.axes(MARGIN + LEFT, top + 16, _curve_width(ranking, extreme), ENDING)
        axes.set(ylim=(-2, 102), yticks=[0, 50, 100])
        _draw_lines(axes, ranking, shares, ENDING, stepwise=True, also=extreme)
        axes.set_ylabel("learners (%)", fontsize=SMALL, labelpad=2)
        axes.set_xlabel("interactions", fontsize=SMALL)

    return Block(16 + ENDING + AXIS + 2, draw)


def _curve_width(ranking: Ranking, also: Sequence[str] = ()) -> float:
    """Return the width of a diagram that has the names of the highlighted policies, and of others, at its right."""
    widest = max(width_of(ranking.names[label], SMALL) for label in (*ranking.styles, *also))
    return INNER - LEFT - 18 - widest


def _draw_lines(
    axes: Any,
    ranking: Ranking,
    curves: Mapping[str, Doubles],
    height: float,
    *,
    stepwise: bool = False,
    also: Sequence[str] = (),
) -> None:
    """Draw a line for each policy, and the names of the highlighted ones and of some others at the ends."""
    steps = len(next(iter(curves.values()))) - 1
    axes.set_xlim(0, steps)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.xaxis.get_major_locator().set_params(integer=True)
    every = max(1, steps // 5)
    for label in ranking.back_to_front:
        style, curve = ranking.style(label), curves[label]
        t = _corners(curve) if stepwise else np.arange(steps + 1)
        axes.plot(
            t,
            curve[t],
            color=style.color,
            linestyle=style.line,
            linewidth=0.7 if style is OTHERS else 1.5,
            drawstyle="steps-post" if stepwise else "default",
            gid=f"line of policy {[*ranking.names].index(label) + 1}",
        )
        if style is not OTHERS:
            first = STYLES.index(style) * every // len(ranking.styles)  # the marks of equal lines are not at one place
            marks = np.arange(first, steps + 1, every)
            axes.plot(marks, curve[marks], color=style.color, linestyle="none", marker=style.marker, markersize=4)
    # Equal ends keep the order of the leaderboard, from the top.
    named = [label for label in ranking.names if label in ranking.styles or label in also][::-1]
    ends = {ranking.names[label]: (steps, float(curves[label][-1]), ranking.style(label).color) for label in named}
    label_ends(axes, ends, height)


def _corners(curve: Doubles) -> Longs:
    """Return the indices of the first value, of all values that differ from the one before, and of the last value."""
    return np.unique([0, *(np.flatnonzero(np.diff(curve)) + 1), len(curve) - 1])


__all__ = ["draw_comparison"]
