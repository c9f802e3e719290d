"""Learning curves of two trainings: `python -m benchmarks.training_curves SPECIFIED LEARNING` draws them.

Each argument is the directory of a finished `alsim train`: the first under the specified reward, the second with
`--reward learning`. The curves show return and final mastery of held-out learners, the return under the specified
reward.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from alsim.training.curve import draw_levels, finish, points, read_curve

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "specified-and-learning.png"
PANELS = (
    ("return, by the specified reward", "eval_return_specified", "cumulative_reward"),
    ("mean mastery at the end of an episode", "eval_final_mastery", "final_mastery"),
)
COLOURS = {"trained on the specified reward": "#0b6e99", "trained on learning alone": "#b5532a"}
LEVELS = ("uniform", "rules")


def draw(specified: Path, learning: Path) -> Figure:
    """Return the figure with the learning curves of both trainings and the values of the baseline policies."""
    figure = Figure(figsize=(9.6, 4.0), dpi=160, layout="constrained")
    levels = _evaluation(specified)["policies"]
    runs = zip(COLOURS.items(), (specified, learning), strict=True)
    curves = [(name, colour, read_curve(run / "curve.csv")) for (name, colour), run in runs]
    for axes, (title, column, level) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for name, colour, rows in curves:
            axes.plot(*points(rows, column), color=colour, linewidth=2, marker="o", markersize=3, label=name)
        draw_levels(axes, {name: levels[name][level]["mean"] for name in LEVELS})
        finish(axes, title)
    figure.axes[0].legend(frameon=False, fontsize=9, loc="center right")
    return figure


def _evaluation(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "evaluation.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    draw(*map(Path, sys.argv[1:3])).savefig(PICTURE)
    print(PICTURE)
