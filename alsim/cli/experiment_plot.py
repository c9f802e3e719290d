"""Figures of A/B tests and of their rehearsals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alsim.cli.output import shortened
from alsim.cli.plot_page import (
    FAINT,
    GRID,
    INNER,
    MARGIN,
    SMALL,
    STYLES,
    TITLE,
    Block,
    Page,
    heading,
    limits,
    note,
    paragraph,
    stack,
    width_of,
)
from alsim.evaluation.experiments.abtest import AbTest, Comparison
from alsim.utils.figures import any_script, write_figure

ROW, AXIS, CURVE, LEFT = 16.0, 32.0, 130.0, 44.0
"""Heights of a row, of the labels below a diagram and of a diagram of curves, and width of its labels, points."""
METRIC, ARM, SOURCE = 24, 16, 60
"""Columns to which names of metrics, arms and sources are shortened."""
CURVES = {
    "power": "effect found",
    "false_alarms": "false alarms",
    "false_alarms_naive": "false alarms, fixed test at each look",
}

Report = Mapping[str, Any]


@any_script()
def draw_abtest(file: Path, found: AbTest) -> None:
    """Draw the relative lifts of an A/B test with intervals, and confidence sequences; write the file atomically."""
    level = f"{100 * found.confidence:g} %"
    data = found.data
    arms = ", ".join(
        f"{shortened(name, ARM)} {size:,}" for name, size in zip(data.names, data.sizes.tolist(), strict=True)
    )
    blocks = [
        paragraph(f"A/B test of {shortened(data.source, SOURCE)}", TITLE, weight="bold"),
        note(f"Students: {arms}. Lines: {level} intervals. The dashed line is no difference."),
        heading("Difference from the control, in standard errors"),
        _differences(found.comparisons),
    ]
    for one in found.comparisons:
        if one.sequence is not None:
            blocks += [
                heading(f"{_name(one)}: {level} confidence sequence"),
                _sequence(one),
            ]
    write_figure(stack(blocks), file)


def _name(one: Comparison) -> str:
    """Return the metric and the arm of a comparison."""
    return f"{shortened(one.metric, METRIC)}, {shortened(one.arm, ARM)}"


def _differences(found: Sequence[Comparison]) -> Block:
    """Return the block of dots with intervals: one row per metric and arm."""
    names = [_name(one) for one in found]
    height, left = len(names) * ROW, max(width_of(name, SMALL) for name in names) + 6

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + left, top, INNER - left - 8, height)
        scaled = [[x / (one.difference.se or 1.0) for x in (*one.limits, one.difference.difference)] for one in found]
        ends = [x for row in scaled for x in row if np.isfinite(x)]
        low, high = limits([*ends, 0.0])
        axes.set(xlim=(low, high), ylim=(len(names) - 0.5, -0.5))
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(color=GRID, linewidth=0.8)
        axes.axvline(0, color=FAINT, linewidth=1, linestyle="--")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("difference / its standard error", fontsize=SMALL)
        for row, (start, end, value) in enumerate(scaled):
            axes.plot(np.clip([start, end], low, high), [row, row], color=STYLES[0].color, linewidth=1.5)
            axes.plot([value], [row], color=STYLES[0].color, marker=STYLES[0].marker, markersize=4.5)

    return Block(height + AXIS, draw)


def _sequence(one: Comparison) -> Block:
    """Return the block of a confidence sequence over the students."""
    sequence = one.sequence
    assert sequence is not None

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + LEFT, top, INNER - LEFT - 8, CURVE)
        known = np.isfinite(sequence.low) & np.isfinite(sequence.high)
        students, low, high = (column[known] for column in (sequence.students, sequence.low, sequence.high))
        axes.fill_between(students, low, high, color=STYLES[0].color, alpha=0.25, linewidth=0)
        axes.plot(students, (low + high) / 2, color=STYLES[0].color, linewidth=1.5)
        axes.axhline(0, color=FAINT, linewidth=1, linestyle="--")
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_xlabel("students", fontsize=SMALL)

    return Block(CURVE + AXIS, draw)


@any_script()
def draw_rehearsal(file: Path, report: Report) -> None:
    """Draw the shares of rehearsals that have found an effect by each look, and write the file atomically.

    report  the JSON values of `Rehearsal.to_dict`
    """
    nominal = 100 * (1 - report["confidence"])
    blocks = [
        paragraph(f"Rehearsal of the experiment {report['experiment']}", TITLE, weight="bold"),
        note(
            f"{report['repetitions']:,} experiments with {report['students']:,} simulated students each, "
            f"{report['method']} test of {report['metric']}. Dashed: the level of {nominal:g} %."
        ),
        heading("Share of the experiments in which an effect was found, %"),
        _curves(report),
    ]
    write_figure(stack(blocks), file)


def _curves(report: Report) -> Block:
    """Return the block of the curves over the students."""

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + LEFT, top, INNER - LEFT - 8, 1.6 * CURVE)
        for style, (name, label) in zip(STYLES, CURVES.items(), strict=False):
            shares = 100 * np.array(report["curves"][name])
            axes.plot(report["looks"], shares, color=style.color, marker=style.marker, markersize=3, label=label)
        axes.axhline(100 * (1 - report["confidence"]), color=FAINT, linewidth=1, linestyle="--")
        axes.set_ylim(-2, 102)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_xlabel("students", fontsize=SMALL)
        axes.legend(fontsize=SMALL, frameon=False, loc="center left")

    return Block(1.6 * CURVE + AXIS, draw)


__all__ = ["draw_abtest", "draw_rehearsal"]
