"""Figure of an audit of the reward: return against learning, and final mastery against the goal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alsim.cli.audit_scatter import (
    AXIS,
    Mark,
    defined_ends,
    draw_mark,
    key_of_marks,
    mark_of,
    scatter,
    texts_of_points,
)
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
from alsim.utils.figures import any_script, write_figure
from alsim.utils.text import counted

ROW = 13.5
"""Height of a row of the diagram of final mastery, points."""


@any_script()
def draw_audit(file: Path, report: Mapping[str, Any]) -> None:
    """Draw the learning of policies against their return, and their final mastery, and write the file atomically.

    report  the JSON values of the audit: policies, rank_correlation and goal
    """
    policies, goal = report["policies"], report["goal"]
    order = sorted(policies, key=lambda label: -_or(policies[label]["final_mastery"]["mean"], -math.inf))
    names = short_names(order)
    texts, numbered = texts_of_points(policies, names)
    rows = {label: f"{k}. {name}" if numbered else name for k, (label, name) in enumerate(names.items(), start=1)}
    blocks = [
        paragraph("Does the reward reward learning?", TITLE, weight="bold"),
        note(f"{_correlation(report['rank_correlation'])} Thin lines: 95 % intervals."),
        heading(f"Learning and return of {counted(len(policies), 'policy', 'policies')}"),
        *([note("Numbers as in the list below; points in almost the same place share a label.")] if numbered else []),
        key_of_marks(policies),
        scatter(policies, texts),
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
        None: "is undecided: no policy surely reached it, and no upper bound excludes it",
    }[goal["feasible"]]
    text = f"The goal, a mean mastery of {goal['mastery']:g}, {verdict}."
    if goal["best_mastery"] is not None:
        text += f" Best: {names.get(goal['best_policy'], goal['best_policy'])}, {goal['best_mastery']:.3f}."
    needed = goal["steps_needed"]
    if needed is not None:
        longer = ", under a longer limit" if needed > goal["steps"] else ""
        text += f" It reaches the goal after {counted(needed, 'interaction')}{longer}."
    return text


def _final(policies: Mapping[str, Mapping[str, Any]], goal: Mapping[str, Any], rows: Mapping[str, str]) -> Block:
    """Return the block of dots with intervals of final mastery, and of lines at the goal and at the upper bound."""
    height, names = len(rows) * ROW, max(width_of(name, SMALL) for name in rows.values()) + 6
    width = INNER - names - 8
    lines = {"goal": (goal["mastery"], "--")}
    if goal["upper_bound"] is not None:
        lines["upper bound"] = (goal["upper_bound"], "-.")

    def draw(page: Page, top: float) -> None:
        axes = page.axes(MARGIN + names, top + 14 * len(lines), width, height)
        axes.set_xlim(limits([*defined_ends(policies, "final_mastery"), *(x for x, _ in lines.values())]))
        axes.set(ylim=(len(rows) - 0.5, -0.5))
        axes.set_yticks(range(len(rows)), [*rows.values()], parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.get_major_locator().set_params(nbins=5)
        axes.set_xlabel("mean mastery over LOs (0 to 1)", fontsize=SMALL)
        axes.grid(color=GRID, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        for level, (name, (x, style)) in enumerate(lines.items()):
            _draw_limit(axes, f"{name} {x:.3g}", x, style, 14 * level + 3)
        for row, label in enumerate(rows):
            _draw_final(axes, row, policies[label]["final_mastery"], mark_of(policies, label))

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
        arrowprops={
            "arrowstyle": "-",
            "color": FAINT,
            "linewidth": 0.6,
            "shrinkA": 0,
            "shrinkB": 0,
            "relpos": (min(max(share, 0), 1), 0),
        },
    )


def _draw_final(axes: Any, row: int, one: Mapping[str, Any], mark: Mark) -> None:
    """Draw the mean and interval of final mastery of a policy."""
    if one["mean"] is None:
        place = {"transform": axes.get_yaxis_transform(), "ha": "center", "va": "center"}
        axes.text(0.5, row, "undefined", fontsize=SMALL, color=MUTED, **place)
        return
    if one["ci"]:
        axes.plot(one["ci"], [row, row], color=mark.color, linewidth=1.5, solid_capstyle="butt")
    draw_mark(axes, one["mean"], row, mark)


__all__ = ["draw_audit"]
