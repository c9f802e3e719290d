"""Figure of an audit of an engine: calibration by group, and mastery over weeks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alsim.cli.output import counted, shortened
from alsim.utils.figures import any_script, new_figure, write_figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that readers with any colour vision can distinguish (Okabe & Ito 2008)."""
MARKS = "osD^vP"
MOST_GROUPS = len(COLORS)
INK, GRID = "#333333", "#e4e4e4"
LEAST_ANSWERS = 20
"""Bins with fewer answers are not drawn."""

Report = Mapping[str, Any]


@any_script()
def draw_engine_audit(file: Path, report: Report) -> None:
    """Draw calibration and mastery by group, and write the file atomically.

    report  JSON values of the audit; of more than MOST_GROUPS groups, the largest are drawn
    """
    groups = report["by_group"] or {"all students": report["all"]}
    largest = sorted(groups, key=lambda name: (-groups[name]["students"], name))[:MOST_GROUPS]
    shown = {name: groups[name] for name in groups if name in largest}
    figure = new_figure(9.6, 4.2)
    left, right = figure.subplots(1, 2)
    title = f"{counted(report['students'], 'student')}, {counted(report['interactions'], 'interaction')}"
    more = "" if len(shown) == len(groups) else f"; the {len(shown)} largest of {len(groups)} groups"
    figure.suptitle(title + more, fontsize=10, color=INK)
    left.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="calibrated")
    for (name, one), color, mark in zip(shown.items(), COLORS, MARKS, strict=False):
        label = f"{shortened(name, 24)} ({one['students']:,})"
        _draw_calibration(left, one["calibration"]["bins"], label, color, mark)
        _draw_weeks(right, one["mastery"]["by_week"], label, color, mark)
    _finish(left, "Forecasts against answers", "forecast chance of a correct answer", "share of correct answers")
    _finish(right, "Mastery over time", "full weeks since a student's first event", "share of skills mastered")
    left.set(xlim=(0, 1), ylim=(0, 1))
    right.set_ylim(0, 1)
    right.xaxis.get_major_locator().set_params(integer=True)
    figure.supxlabel(
        f"Bars and bands: 95 % intervals over students. Bins with fewer than {LEAST_ANSWERS} answers are left out.",
        fontsize=8,
        color=INK,
    )
    write_figure(figure, file)


def _draw_calibration(axes: Any, bins: list[Report], label: str, color: str, mark: str) -> None:
    """Draw the share of correct answers of each bin of forecasts."""
    kept = [one for one in bins if one["answers"] >= LEAST_ANSWERS]
    x, y = [one["chance"] for one in kept], [one["correct"]["mean"] for one in kept]
    axes.plot(x, y, color=color, marker=mark, markersize=4, linewidth=1.2, label=label)
    for one in kept:
        if one["correct"]["ci"] is not None:
            axes.plot([one["chance"]] * 2, one["correct"]["ci"], color=color, linewidth=1, alpha=0.6)


def _draw_weeks(axes: Any, weeks: list[Report], label: str, color: str, mark: str) -> None:
    """Draw the mastery after each week."""
    x, y = [one["week"] for one in weeks], [one["rate"]["mean"] for one in weeks]
    axes.plot(x, y, color=color, marker=mark, markersize=4, linewidth=1.2, label=label)
    kept = [one for one in weeks if one["rate"]["ci"] is not None]
    ends = [[one["rate"]["ci"][k] for one in kept] for k in (0, 1)]
    axes.fill_between([one["week"] for one in kept], *ends, color=color, alpha=0.15, linewidth=0)


def _finish(axes: Any, title: str, x: str, y: str) -> None:
    """Set labels, grid and legend."""
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    legend = axes.legend(fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


__all__ = ["draw_engine_audit"]
