"""Figure of an off-policy evaluation: the estimates, and the effective sample size at each step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alsim.cli.plot_page import (
    FAINT,
    GRID,
    INNER,
    MARGIN,
    MUTED,
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
from alsim.evaluation.ope.diagnosis import LEAST_EPISODES
from alsim.utils.figures import any_script, write_figure
from alsim.utils.text import counted

ROW, AXIS, CURVE, LEFT = 14.0, 32.0, 120.0, 44.0
"""Heights of a row, of the labels below a diagram and of a diagram of curves, and width of its labels, points."""
FAMILIES = ("importance", "marginalised", "window", "direct")
"""Families in the order of their styles."""
WIDEST = 5.0
"""Ends of intervals that are farther from the values than this times their range are cut off."""
LOWEST = 0.5
"""Smallest effective sample size that is drawn; smaller ones, of weights that are all 0, are drawn there."""

Report = Mapping[str, Any]


@any_script()
def draw_evaluation(file: Path, report: Report, confidence: float) -> None:
    """Draw an off-policy evaluation, and write the file atomically.

    report      the JSON values of `Evaluation.to_dict`
    confidence  level of the intervals
    """
    chosen, level = report["recommended"], f"{100 * confidence:g} %"
    recommended = f"Recommended: {chosen}." if chosen else "No estimate is recommended."
    log = f"From {counted(report['episodes'], 'episode')} by {report['behaviour']}."
    blocks = [
        paragraph(f"Value of {report['target']}", TITLE, weight="bold"),
        note(f"{log} Thin lines: {level} intervals, which ignore bias. {recommended}"),
        heading("Estimates of the expected return"),
        _estimates(report["estimators"], chosen),
        heading("Effective sample size of the weights of histories, episodes"),
        note(
            f"Dashed: the {LEAST_EPISODES} episodes that an estimate needs. The curve is that of this log, which may "
            "lack the largest weights; the prediction does not depend on them."
        ),
        _sizes(report["diagnostics"]["ess_by_step"], report["diagnostics"]["predicted_ess"]),
    ]
    write_figure(stack(blocks), file)


def _estimates(found: Mapping[str, Report], chosen: str | None) -> Block:
    """Return the block of dots with intervals: one row per estimator."""
    names = {name: f"{name} (recommended)" if name == chosen else name for name in found}
    height, left = len(names) * ROW, max(width_of(name, SMALL) for name in names.values()) + 6

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + left, top, INNER - left - 8, height)
        low, high = limits(_ends(found))
        axes.set(xlim=(low, high), ylim=(len(names) - 0.5, -0.5))
        axes.set_yticks(range(len(names)), [*names.values()], parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(color=GRID, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("expected return (sum of rewards)", fontsize=SMALL)
        for row, one in enumerate(found.values()):
            style = STYLES[FAMILIES.index(one["family"])]
            ends = one["ci"] or (one["value"], one["value"])
            axes.plot(np.clip(ends, low, high), [row, row], color=style.color, linewidth=1.5, solid_capstyle="butt")
            place = min(max(one["value"], low), high)
            axes.plot([place], [row], color=style.color, marker=style.marker, markersize=4.5, clip_on=False)

    return Block(height + AXIS, draw)


def _ends(found: Mapping[str, Report]) -> list[float]:
    """Return the values, and the ends of intervals that are not far from them."""
    values = [float(one["value"]) for one in found.values()]
    intervals = [one["ci"] for one in found.values() if one["ci"]]
    widths = sorted(high - low for low, high in intervals)
    reach = WIDEST * max(max(values) - min(values), widths[len(widths) // 2] if widths else 0.0)
    ends = [float(end) for interval in intervals for end in interval]
    return [*values, *(end for end in ends if min(values) - reach <= end <= max(values) + reach)]


def _sizes(by_step: list[float], predicted: float) -> Block:
    """Return the block of the effective sample size over the steps."""

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + LEFT, top, INNER - LEFT - 8, CURVE)
        steps = np.arange(1, len(by_step) + 1)
        axes.plot(steps, np.maximum(by_step, LOWEST), color=STYLES[0].color, linewidth=1.5)
        axes.axhline(LEAST_EPISODES, color=FAINT, linewidth=1, linestyle="--")
        axes.set_yscale("log")
        axes.set_ylim(LOWEST, 1.5 * max(*by_step, LEAST_EPISODES))
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_xlabel("step", fontsize=SMALL)
        text = f"{predicted:,.0f}" if predicted >= 1 else "less than one"
        axes.annotate(
            f"predicted at the end: {text}",
            (0.98, 0.92),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=SMALL,
            color=MUTED,
        )

    return Block(CURVE + AXIS, draw)


__all__ = ["draw_evaluation"]
