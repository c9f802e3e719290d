"""Figure of a robust evaluation matrix: the regret of policies under several dynamics, as a heat map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alsim.cli.plot_page import (
    INK,
    INNER,
    MARGIN,
    MUTED,
    SMALL,
    TITLE,
    Block,
    Page,
    contrasting,
    note,
    paragraph,
    short_names,
    stack,
    width_of,
)
from alsim.evaluation.metrics import COMPARED
from alsim.utils.figures import any_script, write_figure

ROW, LINE = 25.0, 10.5
"""Heights of a row, and of a line of text in it, points."""
WORST, GAP, WIDEST = 40.0, 4.0, 72.0
"""Widths of the last column, and of the space before it, and the largest width of a cell, points."""
NAMES, HEADER = (82.0, 124.0), 96.0
"""Widths of the names of policies, under many dynamics and under few, and the longest name of a dynamics, points."""
MANY = 5
"""Number of dynamics from which on there are many."""
DIGITS, LARGE = 4, 9999.5
"""Number of digits and signs of the longest number in the cells, and the smallest one that is divided by 1,000."""
STEPS = 5
"""Number of colours that the key shows."""
LIGHT, DARK = (1.0, 1.0, 1.0), (0.02, 0.19, 0.30)
"""Colours of no regret and of the largest one: red, green and blue."""

Color = tuple[float, float, float]


class Table(NamedTuple):
    """Layout of the cells, and the format of their numbers."""

    names: float
    """Width of the names, points."""
    cell: float
    """Width of a cell, points."""
    largest: float
    """Largest regret of all cells."""
    decimals: int
    divisor: float
    """Power of 1,000 that the shown numbers are divided by."""

    def left(self, column: int) -> float:
        """Return the distance of a cell from the left edge of the page."""
        return MARGIN + self.names + column * self.cell

    def color(self, regret: float) -> Color:
        """Return the colour of a regret: the darker, the larger."""
        share = min(max(regret / self.largest, 0.0), 1.0) if self.largest > 0 else 0.0
        red, green, blue = (light + (dark - light) * share for light, dark in zip(LIGHT, DARK, strict=True))
        return red, green, blue

    def number(self, value: float | None) -> str:
        """Return a number with the decimals of the table; a dash if it is undefined."""
        if value is None:
            return "–"
        text = f"{value / self.divisor:.{self.decimals}f}"
        if self.decimals > 2:
            text = text.replace("0.", ".", 1)  # the cells are narrow
        return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


@any_script()
def draw_matrix(file: Path, report: Mapping[str, Any]) -> None:
    """Draw the regret of policies under several dynamics as a heat map, and write the file atomically.

    report  the JSON values of the matrix: metric, policies, dynamics, cells, regret, worst_case and choose
    """
    metric, dynamics, chosen = COMPARED[report["metric"]], report["dynamics"], report["choose"]
    unit = f" ({metric.unit})" if metric.unit else ""
    title = f"{metric.label[:1].upper()}{metric.label[1:]}{unit}"
    order = sorted(report["policies"], key=lambda label: _or_infinite(report["worst_case"][label]["regret"]))
    table = _table(report)
    names = dict(zip(order, short_names(order, width=1.8 * table.names).values(), strict=True))
    framed = f" Framed: {names[chosen]}, the choice by minimax regret." if chosen in names else ""
    divided = f" All numbers are divided by {table.divisor:,.0f}." if table.divisor > 1 else ""
    blocks = [
        paragraph(f"{title}, {len(dynamics)} dynamics or populations", TITLE, weight="bold"),
        note(
            "In each cell: the mean, and half of its 95 % interval. Shade: regret, the distance to the best of these "
            "policies under the same dynamics, on one scale for all dynamics. The policies are sorted by their largest "
            f"regret, which is the last column.{divided}{framed}"
        ),
        _key(table, metric.unit),
        _header([*short_names(dynamics, width=HEADER).values()], table),
        *(_row(report, label, names[label], table) for label in order),
    ]
    write_figure(stack(blocks), file)


def _or_infinite(regret: float | None) -> float:
    return math.inf if regret is None else regret


def _table(report: Mapping[str, Any]) -> Table:
    """Return the layout for the numbers of policies and dynamics, and for the size of the values."""
    columns = len(report["dynamics"])
    names = NAMES[columns < MANY]
    regrets = [value for row in report["regret"].values() for value in row.values() if value is not None]
    means = [one["mean"] for row in report["cells"].values() for one in row.values() if one["mean"] is not None]
    size = max([abs(value) for value in (*regrets, *means)], default=0.0)
    divisor = 1000.0 ** max(0, math.floor(math.log10(max(size, 1)) / 3)) if size >= LARGE else 1.0
    sign = min(means, default=0.0) < 0
    before = (len(f"{size / divisor:.0f}") if size >= 1 else 0) + sign  # a minus sign is as wide as a digit
    return Table(
        names=names,
        cell=min(WIDEST, (INNER - names - GAP - WORST) / columns),
        largest=max(regrets, default=0.0),
        decimals=min(max(0, DIGITS - before), 2 if size >= 1 else 3),
        divisor=divisor,
    )


def _key(table: Table, unit: str) -> Block:
    """Return the key of the shades."""
    width = 44.0

    def draw(page: Page, top: float) -> None:
        text = f"regret{f' ({unit})' if unit else ''}"
        page.text(MARGIN + table.names - 4, top + 7, text, SMALL, ha="right", va="center", color=MUTED)
        for k in range(STEPS):
            regret = table.largest * k / (STEPS - 1)
            color = table.color(regret)
            left = MARGIN + table.names + k * width
            page.box(left, top, width, 14, color)
            page.text(left + width / 2, top + 7, table.number(regret), SMALL, **_middle(color))

    return Block(24, draw)


def _middle(color: Color) -> dict[str, Any]:
    return {"ha": "center", "va": "center", "color": contrasting(color)}


def _header(dynamics: list[str], table: Table) -> Block:
    """Return the names of the columns, vertical if they are wider than the cells."""
    widest = max(width_of(name, SMALL) for name in dynamics)
    vertical = widest > table.cell - 4
    height = max(2 * LINE, widest if vertical else 0) + 5
    place = {"rotation": 90, "rotation_mode": "anchor", "ha": "left", "va": "center"} if vertical else {}

    def draw(page: Page, top: float) -> None:
        bottom = top + height - 4
        page.text(MARGIN, bottom, "policy", SMALL, va="bottom", color=MUTED)
        for column, name in enumerate(dynamics):
            middle = table.left(column) + table.cell / 2
            page.text(middle, bottom, name, SMALL, **({"ha": "center", "va": "bottom"} | place))
        middle = table.left(len(dynamics)) + GAP + WORST / 2
        for line, word in enumerate(("regret", "largest")):
            page.text(middle, bottom - line * LINE, word, SMALL, ha="center", va="bottom")

    return Block(height, draw)


def _row(report: Mapping[str, Any], label: str, name: str, table: Table) -> Block:
    """Return the cells of a policy."""
    dynamics, chosen = report["dynamics"], label == report["choose"]

    def draw(page: Page, top: float) -> None:
        weight = "bold" if chosen else "normal"
        lines = _two_lines(name, table.names - 6)
        for k, line in enumerate(lines):
            _write(page, MARGIN + 3, top, k, len(lines), line, weight=weight)
        for column, one in enumerate(dynamics):
            _cell(page, table.left(column), top, table, report["cells"][label][one], report["regret"][label][one])
        left, worst = table.left(len(dynamics)) + GAP, report["worst_case"][label]["regret"]
        color = table.color(worst or 0.0)
        page.box(left, top, WORST, ROW, color)
        _write(page, left + WORST / 2, top, 0, 1, table.number(worst), weight=weight, **_middle(color))
        if chosen:
            page.box(MARGIN - 2, top, left + WORST - MARGIN + 4, ROW, None, edgecolor=INK, linewidth=2.2, zorder=3)

    return Block(ROW, draw)


def _cell(page: Page, left: float, top: float, table: Table, one: Mapping[str, Any], regret: float | None) -> None:
    """Draw a cell: the mean and half of its interval on the shade of the regret."""
    color = table.color(regret or 0.0)
    page.box(left, top, table.cell, ROW, color)
    half = None if one["ci"] is None else (one["ci"][1] - one["ci"][0]) / 2
    lines = [table.number(one["mean"]), *([] if half is None else [f"±{table.number(half)}"])]
    for k, line in enumerate(lines):
        _write(page, left + table.cell / 2, top, k, len(lines), line, **_middle(color))


def _write(page: Page, left: float, top: float, line: int, count: int, text: str, **options: Any) -> None:
    """Write one of the lines of text of a row, which are centred vertically."""
    middle = top + ROW / 2 + (line - (count - 1) / 2) * LINE
    page.text(left, middle, text, SMALL, **({"va": "center"} | options))


def _two_lines(name: str, width: float) -> list[str]:
    """Return a name on one line, or on two lines: if possible, the first one ends with a separator."""
    if width_of(name, SMALL) <= width:
        return [name]
    fitting = [k for k in range(1, len(name)) if width_of(name[:k], SMALL) <= width]
    separated = [k for k in fitting if name[k - 1] in ":/,=-_" and width_of(name[k:], SMALL) <= width]
    cut = max(separated or fitting)
    return [name[:cut], *short_names([name[cut:]], width=width).values()]


__all__ = ["draw_matrix"]
