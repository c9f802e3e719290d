"""Plot of the cost of a learner-step by number of lanes, from measured.json: `python -m benchmarks.plot` draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.table import MEASURED

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "cost-per-learner-step.png"
INK, BLUE, GREY = "#333333", "#0b6e99", "#9a9a9a"
COLOURS = {"alsim": BLUE, "alsim, 2 threads": BLUE, "native C": INK}
DASHED = {"alsim, 2 threads"}
SHORT = {"specification's class": "one at a time"}
MIN_RATIO = 1.5
"""Smallest factor between the heights of two labels in one column."""


Curve = dict[str, list[tuple[int, float]]]
"""Pairs of lanes and nanoseconds per learner-step, by contender."""


def draw(curve: Curve) -> Figure:
    """Return the figure, with logarithmic axes and a label at the end of each line."""
    figure = Figure(figsize=(7.2, 4.6), dpi=160, layout="constrained")
    axes = figure.subplots()
    for name, points in curve.items():
        lanes, cost = zip(*points, strict=True)
        style = "--" if name in DASHED else "-"
        width = 2.2 if name == "alsim" else 1.4
        axes.plot(lanes, cost, style, color=COLOURS.get(name, GREY), linewidth=width, marker="o", markersize=3)
    _label(axes, curve)
    axes.set(xscale="log", yscale="log", xlabel="learners in a batch, N", xlim=(0.7, 2e7))
    axes.set_xticks([10**k for k in range(7)], [f"{10**k:,}" for k in range(7)])
    axes.set_xticks([], minor=True)
    finish(axes, "nanoseconds per learner-step")
    return figure


def finish(axes: Any, title: str) -> None:
    """Write the title, and draw the horizontal grid and the left and lower axes only."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, which="both", labelsize=9)


def _label(axes: Any, curve: Curve) -> None:
    """Write the name of each line next to its last point; labels in one column do not overlap."""
    lowest: dict[float, float] = {}
    for name, points in sorted(curve.items(), key=lambda item: item[1][-1][1]):
        lanes, cost = points[-1]
        place = max(cost, lowest.get(lanes, 0) * MIN_RATIO)
        lowest[lanes] = place
        axes.text(
            lanes * 1.25, place, SHORT.get(name, name), color=COLOURS.get(name, "#6f6f6f"), fontsize=9, va="center"
        )


def read(path: Path) -> Curve:
    """Return the curves that `benchmarks.table` stored in a file."""
    curves = json.loads(path.read_text())["curve"]
    return {name: [(int(lanes), cost) for lanes, cost in line.items()] for name, line in curves.items()}


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    draw(read(MEASURED)).savefig(PICTURE)
