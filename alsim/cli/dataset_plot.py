"""Figure of a dataset: the course of its episodes, and the mastery at their end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.utils.figures import new_figure, write_figure
from alsim.utils.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from alsim.datasets.store import Dataset

COLORS = {"mastery": "#0b6e99", "frustration": "#b2182b", "running": "#9a9a9a"}
TEXT_COLOR, GRID_COLOR = "#333333", "#e6e6e6"
BINS = np.linspace(0, 1, 41)
"""Edges of the histogram of final mastery."""


class Course(NamedTuple):
    """Means over the episodes that reach each interaction, arrays (T,) for T interactions."""

    episodes: NDArray[np.int64]
    mastery: NDArray[np.float64]
    frustration: NDArray[np.float64]


def course_of(dataset: Dataset) -> Course:
    """Return the means of mastery and frustration after each interaction. Only one shard is in memory at a time."""
    length = int(np.max(dataset.episodes.column("total_steps").to_numpy()))
    counts, sums = np.zeros(length, np.int64), np.zeros((2, length))
    for part in dataset.parts():
        step = part.transitions.column("step").to_numpy() - 1  # steps count from 1
        counts += np.bincount(step, minlength=length)
        for total, name in zip(sums, ("mean_mastery", "frustration"), strict=True):
            total += np.bincount(step, part.transitions.column(name).to_numpy(), minlength=length)
    return Course(counts, *(sums / counts))


def draw_dataset(file: Path, dataset: Dataset) -> None:
    """Draw the course of the episodes and the distribution of final mastery, and write the file atomically."""
    figure = new_figure(9.6, 3.8)
    left, right = figure.subplots(1, 2)
    manifest, count = dataset.manifest, dataset.episodes.num_rows
    figure.suptitle(
        f"policy {manifest['policy']['name']}, seed {manifest['seed']}, {counted(count, 'episode')}",
        fontsize=10,
        color=TEXT_COLOR,
        parse_math=False,  # a name may contain dollar signs
    )
    _draw_course(left, course_of(dataset))
    mastery = dataset.episodes.column("final_mastery").to_numpy()
    right.hist(mastery, BINS, color=COLORS["mastery"])
    right.axvline(mastery.mean(), color=TEXT_COLOR, linewidth=1, linestyle=":", label=f"mean {mastery.mean():.3f}")
    _finish(right, "Mastery at the end of an episode", "mean mastery over learning outcomes", "episodes")
    write_figure(figure, file)


def _draw_course(axes: Any, course: Course) -> None:
    """Draw mastery, frustration and the share of running episodes after each interaction."""
    interaction = np.arange(1, len(course.episodes) + 1)
    share = course.episodes / course.episodes[0]
    axes.plot(interaction, share, color=COLORS["running"], linestyle="--", label="share of episodes still running")
    axes.plot(interaction, course.mastery, color=COLORS["mastery"], linewidth=2, label="mean mastery")
    axes.plot(interaction, course.frustration, color=COLORS["frustration"], linewidth=2, label="mean frustration")
    axes.set_ylim(0, 1.02)
    _finish(axes, "Means over the episodes still running", "interaction", "")


def _finish(axes: Any, title: str, horizontal: str, vertical: str) -> None:
    """Add title, labels, grid and legend to a diagram."""
    axes.set_title(title, loc="left", fontsize=10, color=TEXT_COLOR)
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.grid(axis="y", color=GRID_COLOR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
