"""Figure of an evaluation of fairness: the rates of the groups, and the tests of items, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from alsim.cli.fairness_text import MOST_ITEMS, TITLES, label, tested_items
from alsim.cli.plot_page import (
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
    short_names,
    stack,
    width_of,
)
from alsim.evaluation.estimates import Statistic, normal_half_width
from alsim.evaluation.fairness import DIF, Fairness
from alsim.models.irt.dif import DELTA
from alsim.utils.figures import any_script, write_figure

ROW, AXIS = 14.0, 24.0
"""Heights of a row and of the numbers below a diagram, points."""
MOST_PANELS = 16
"""Largest number of diagrams."""


@any_script()
def draw_fairness(file: Path, found: Fairness, confidence: float) -> None:
    """Draw the rates of the groups, one diagram per metric, and the tests of items, and write the file atomically."""
    blocks = [
        paragraph("Fairness between groups", TITLE, weight="bold"),
        note(f"Thin lines: {100 * confidence:g} % intervals. *: the gap between the groups is significant (Holm)."),
    ]
    names = short_names(found.groups)
    panels = [
        (section, metric) for section in TITLES if section in found.sections for metric in found.sections[section].gaps
    ]
    for section, metric in panels[:MOST_PANELS]:
        metrics = found.sections[section]
        mark = " *" if metrics.gaps[metric].flagged else ""
        blocks.append(heading(f"{section.capitalize()}: {label(section, metric)}{mark}"))
        blocks.append(_groups({names[group]: one for group, one in metrics.by_group[metric].items()}))
    for tests in found.items:
        if drawn := [row["item"] for row in tested_items(tests)[:MOST_ITEMS] if math.isfinite(row["delta"])]:
            blocks.append(heading(f"Items that differ for {names[tests.focal]}: delta, ETS; below 0: harder for them"))
            blocks.append(_groups(_deltas(tests, drawn, confidence)))
    write_figure(stack(blocks), file)


def _deltas(tests: DIF, items: Sequence[str], confidence: float) -> dict[str, Statistic]:
    """Return delta with a normal interval for some items, by their short names."""
    names, z = short_names(items), normal_half_width(confidence)
    place = {str(name): i for i, name in enumerate(tests.items)}
    found = {}
    for item in items:
        i = place[item]
        delta, se = float(tests.delta[i]), -DELTA * float(tests.se_log[i])
        found[names[item]] = Statistic(delta, se, (delta - z * se, delta + z * se), int(tests.answers[i]))
    return found


def _groups(found: dict[str, Statistic]) -> Block:
    """Return the block of dots with intervals: one row per group."""
    height, left = len(found) * ROW, max(width_of(name, SMALL) for name in found) + 6

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + left, top, INNER - left - 8, height)
        ends = [end for one in found.values() for end in (one.mean, *one.ci) if not math.isnan(end)]
        axes.set(xlim=limits(ends), ylim=(len(found) - 0.5, -0.5))
        axes.set_yticks(range(len(found)), [*found], parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(color=GRID, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        for row, one in enumerate(found.values()):
            style = STYLES[row % len(STYLES)]
            axes.plot(one.ci, [row, row], color=style.color, linewidth=1.5, solid_capstyle="butt")
            axes.plot([one.mean], [row], color=style.color, marker=style.marker, markersize=4.5)

    return Block(height + AXIS, draw)


__all__ = ["draw_fairness"]
