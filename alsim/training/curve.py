"""Learning curves, as CSV files and PNG figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alsim.training.lanes import Episodes
from alsim.training.settings import TrainingError
from alsim.utils.figures import new_figure, write_figure
from alsim.utils.files import write_atomic
from alsim.utils.reading import read_text, reason

ROWS = 200
"""Number of rows of a learning curve, in addition to those of evaluations."""
MILLION = 10**6
TEXT_COLOR, EVALUATION_COLOR, TRAINING_COLOR = "#333333", "#0b6e99", "#9a9a9a"


class Row(NamedTuple):
    """A row of a learning curve: metrics of training episodes and of an evaluation. Missing values are None."""

    steps: int  # interactions so far, over all lanes
    seconds: float  # duration of the training so far, including evaluations, s
    episodes: int  # episodes that ended since the previous row; the next four fields are means over them
    episode_return: float | None
    episode_length: float | None
    final_mastery: float | None
    give_ups: float | None  # share of episodes that ended by critical frustration
    eval_return: float | None = None  # on held-out learners, like the following fields
    eval_return_specified: float | None = None  # under the reward of the specification
    eval_episode_length: float | None = None
    eval_final_mastery: float | None = None
    eval_give_ups: float | None = None

    @property
    def evaluated(self) -> bool:
        """True if the row includes an evaluation."""
        return self.eval_return is not None


def training_row(steps: int, seconds: float, episodes: Episodes) -> Row:
    """Return a row with means over episodes, without an evaluation.

    steps    number of interactions so far
    seconds  duration of the training so far
    """
    count = len(episodes.returns)
    means = [float(np.mean(column)) if count and not np.isnan(column).any() else None for column in episodes]
    return Row(steps, seconds, count, *means)


def row_is_due(rows: Sequence[Row], steps: int, total: int) -> bool:
    """Return whether a curve gets a row without an evaluation after `steps` of `total` interactions."""
    return not rows or steps - rows[-1].steps >= total / ROWS


def write_curve(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV atomically; None is an empty cell."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows([_cell(value) for value in row] for row in rows)
    write_atomic(file, stream.getvalue().encode())


def _cell(value: float | None) -> str:
    """Return a value as text: None is empty, and floats have six significant digits."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def read_curve(file: str | Path) -> list[Row]:
    """Return the rows of a learning curve, curve.csv. Raises TrainingError, which names the file."""
    try:
        reader = csv.reader(io.StringIO(read_text(file), newline=""))
        if next(reader, None) != list(Row._fields):
            raise ValueError(f"expected the columns {', '.join(Row._fields)}")
        return [_row(cells) for cells in reader]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise TrainingError(
            f"{file} is not a learning curve: {reason(error)}; pass the curve.csv of a training"
        ) from None


def _row(cells: Sequence[str]) -> Row:
    """Return the row with these cells. Raises ValueError or TypeError."""
    steps, seconds, episodes, *means = cells
    return Row(int(steps), float(seconds), int(episodes), *(float(cell) if cell else None for cell in means))


class Panel(NamedTuple):
    """A diagram: columns of training and evaluation, and a statistic of other policies, drawn for comparison."""

    title: str
    training: str  # column of Row
    evaluation: str  # column of Row
    level: str  # key of the statistic, see `alsim.evaluation.held_out.evaluate`


PANELS = (
    Panel("return per episode", "episode_return", "eval_return", "cumulative_reward"),
    Panel("final mastery", "final_mastery", "eval_final_mastery", "final_mastery"),
)


def draw_curve(file: Path, rows: Sequence[Row], levels: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw return and final mastery against interactions, and write the PNG file atomically.

    levels  statistics of other policies by policy name; their means are drawn as horizontal lines
    """
    figure = new_figure(9.6, 3.8)
    for axes, panel in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        training, evaluation = points(rows, panel.training), points(rows, panel.evaluation)
        axes.plot(*training, color=TRAINING_COLOR, linewidth=1.2, label="training")
        style = {"linewidth": 2, "marker": "o", "markersize": 3}
        axes.plot(*evaluation, color=EVALUATION_COLOR, label="held-out learners", **style)
        draw_levels(axes, {name: statistics[panel.level]["mean"] for name, statistics in levels.items()})
        finish(axes, panel.title)
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    write_figure(figure, file)


def draw_levels(axes: Any, levels: Mapping[str, float]) -> None:
    """Draw values of other policies as horizontal lines, with labels that do not overlap."""
    low, high = axes.get_ylim()
    spacing, position = (high - low) / 18, low - (high - low)
    for name, value in sorted(levels.items(), key=lambda level: level[1]):
        position = max(value, position + spacing)
        _draw_level(axes, name, value, position)


def _draw_level(axes: Any, name: str, value: float, position: float) -> None:
    """Draw a horizontal line at `value`, with its label at `position`."""
    axes.axhline(value, color=TEXT_COLOR, linewidth=0.8, linestyle=":")
    coordinates = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(name, (1, position), (4, -3), **coordinates, fontsize=8)


def finish(axes: Any, title: str) -> None:
    """Add title, axis label and grid to a diagram."""
    axes.set_title(title, loc="left", fontsize=10, color=TEXT_COLOR)
    axes.set_xlabel("interactions, millions")
    axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / MILLION:g}")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def points(rows: Iterable[Row], column: str) -> tuple[list[int], list[float]]:
    """Return the numbers of interactions at which a column has a value, and the values."""
    pairs = [(row.steps, getattr(row, column)) for row in rows if getattr(row, column) is not None]
    return [steps for steps, _ in pairs], [value for _, value in pairs]
