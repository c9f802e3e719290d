"""Figure of a scorecard: estimates against true values, calibration of mastery, and AUCs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
from alsim.evaluation.estimates import Z
from alsim.evaluation.monitoring import Calibration
from alsim.evaluation.scorecards import Estimates, Scorecard
from alsim.utils.figures import any_script, write_figure
from alsim.utils.text import counted

ROW, AXIS, PANEL, LEFT = 14.0, 34.0, 130.0, 40.0
"""Heights of a row, of the labels below a diagram and of a diagram, and width of its labels, points."""


@any_script()
def draw_scorecard(file: Path, card: Scorecard) -> None:
    """Draw a scorecard, and write the file atomically."""
    blocks = [
        paragraph(f"Scorecard of {card.model}", TITLE, weight="bold"),
        note(f"{counted(card.own.logs, 'log')} of {card.own.world} learners, {card.learners:,} to fit to in each."),
        *_recovery(card),
        *(
            [heading("Calibration of mastery"), note("Vertical lines: 95 % intervals."), _calibration(card.own.mastery)]
            if card.own.mastery is not None
            else []
        ),
        heading("AUC of held-out answers, with 95 % intervals"),
        note("Circles: the model. Squares: the oracle, the true chances; of coin flips, it has .50."),
        _aucs(card),
    ]
    write_figure(stack(blocks), file)


def _recovery(card: Scorecard) -> list[Block]:
    """Return the panel of the estimates of the first log; nothing without parameters."""
    if not card.own.first:
        return []
    text = "Estimates in the first log, with the intervals of 95 % that the model states. Lines: the truth."
    return [heading("Recovery of parameters"), note(text), _estimates(card.own.first)]


def _estimates(found: Any) -> Block:
    """Return the block of one diagram per parameter: estimate against rank of the true value."""

    def draw(page: Page, top: float) -> None:
        width = INNER / len(found)
        for k, (name, one) in enumerate(found.items()):
            axes = page.axes(MARGIN + k * width + 26, top, width - 32, PANEL)
            _draw_estimates(axes, one)
            axes.set_xlabel(f"{name}, by true value", fontsize=SMALL)

    return Block(PANEL + AXIS, draw)


def _draw_estimates(axes: Any, one: Estimates) -> None:
    """Draw estimates with intervals, in the order of their true values."""
    order = np.argsort(one.truth, kind="stable")
    place, se = np.arange(len(order)), np.nan_to_num(one.se[order])
    axes.vlines(place, one.estimate[order] - Z * se, one.estimate[order] + Z * se, color=FAINT, linewidth=1)
    axes.plot(place, one.estimate[order], linestyle="", marker=STYLES[1].marker, color=STYLES[1].color, markersize=2.5)
    axes.plot(place, one.truth[order], color=STYLES[0].color, linewidth=1.2, drawstyle="steps-mid")
    axes.set_xticks([])
    axes.grid(color=GRID, linewidth=0.8, axis="y")


def _calibration(found: Calibration) -> Block:
    """Return the block of true mastery against the probability of knowing."""

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + LEFT, top, INNER - LEFT - 8, PANEL)
        used = [one for one in found.bins if one.answers]
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        axes.vlines(
            [one.chance for one in used],
            [one.correct.ci[0] for one in used],
            [one.correct.ci[1] for one in used],
            color=STYLES[1].color,
            linewidth=1.5,
        )
        axes.plot(
            [one.chance for one in used],
            [one.correct.mean for one in used],
            color=STYLES[1].color,
            marker="o",
            markersize=4,
            linewidth=1,
        )
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_xlabel("P(known), mean of each bin", fontsize=SMALL)
        axes.set_ylabel("true mastery", fontsize=SMALL)

    return Block(PANEL + AXIS, draw)


def _aucs(card: Scorecard) -> Block:
    """Return the block of AUCs: one row per kind of learners, and the canary."""
    labels = [f"{one.world}, misfit" if one is card.misfit else one.world for one in card.sections] + ["coin flips"]
    models = [*(one.auc for one in card.sections), card.canary.auc]
    oracles = [*(one.oracle_auc.mean for one in card.sections), 0.5]
    left = max(width_of(label, SMALL) for label in labels) + 6
    height = len(labels) * ROW

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + left, top, INNER - left - 8, height)
        ends: Sequence[float] = [end for one in models for end in one.ci]
        axes.set(xlim=limits([*ends, *oracles]), ylim=(len(labels) - 0.5, -0.5))
        axes.set_yticks(range(len(labels)), labels, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(color=GRID, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("AUC", fontsize=SMALL)
        for row, (one, oracle) in enumerate(zip(models, oracles, strict=True)):
            axes.plot(one.ci, [row, row], color=STYLES[0].color, linewidth=1.5, solid_capstyle="butt")
            axes.plot([one.mean], [row], color=STYLES[0].color, marker="o", markersize=4.5)
            axes.plot([oracle], [row], color=STYLES[1].color, marker="s", markersize=4.5, fillstyle="none")

    return Block(height + AXIS, draw)


__all__ = ["draw_scorecard"]
