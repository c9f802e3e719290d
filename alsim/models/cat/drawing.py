"""Drawing of one adaptive test: the estimates of ability and their standard errors over the items."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alsim.errors import AlsimError
from alsim.models.cat.results import CATRun
from alsim.utils.figures import check_figure, new_figure, write_figure

STYLES = {1: ("correct", "o", "#1b7837"), 0: ("wrong", "X", "#b2182b")}
"""Labels, markers and colors of correct and wrong answers."""

MAX_NAME = 20  # characters of an item's name


def draw_test(tests: CATRun, file: str | Path, examinee: int = 0) -> None:
    """Draw the estimates of one test with their standard errors over the items, and write the file atomically.

    tests     results of adaptive tests
    file      file to write; its suffix is .png, .svg or .pdf
    examinee  index of the examinee in `tests`

    The bars are one standard error long in each direction. A dotted line shows the true ability of a simulated
    examinee. Raises AlsimError for another suffix, and for a test without answers.
    """
    path = Path(file)
    check_figure(path, "the figure")
    length = int(tests.lengths[examinee])
    if length == 0:
        raise AlsimError("the test has no answers to draw; answer an item first")
    figure = new_figure(max(6.4, 2 + 0.32 * length), 4)
    axes = figure.subplots()
    position = np.arange(1, length + 1)
    theta, se = tests.theta_after[examinee, :length], tests.se_after[examinee, :length]
    se = np.where(np.isfinite(se), se, 0.0)
    axes.plot(position, theta, color="#888888", linewidth=1)
    for value, (label, marker, color) in STYLES.items():
        chosen = tests.correct[examinee, :length] == value
        axes.errorbar(
            *(position[chosen], theta[chosen], se[chosen]),
            fmt=marker,
            color=color,
            capsize=3,
            label=label,
        )
    if tests.abilities is not None:
        axes.axhline(tests.abilities[examinee], color="#000000", linestyle=":", linewidth=1, label="true ability")
    names = [_label(str(name)) for name in tests.item_names[examinee, :length]]
    axes.set_xticks(position, names, rotation=90, fontsize=8)
    axes.set_xlabel("item, in the order of administration")
    axes.set_ylabel("ability ± standard error, logits")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
    write_figure(figure, path)


def _label(name: str) -> str:
    """Return the name of an item for an axis; dollar signs would begin a formula."""
    short = name if len(name) <= MAX_NAME else name[: MAX_NAME - 3] + "..."
    return short.replace("$", r"\$")
