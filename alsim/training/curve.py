"""The learning curve: a row from time to time, as CSV and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alsim.training.settings import TrainingError
from alsim.utils.files import write_whole
from alsim.utils.optional import require

MILLION = 10**6
INK, OURS, PALE = "#333333", "#0b6e99", "#9a9a9a"


class Row(NamedTuple):
    """One row: what happened in training since the row before, and what an evaluation found; None where none was."""

    steps: int  # interactions so far, of all lanes together
    seconds: float  # of training so far, evaluations included
    episodes: int  # that ended since the row before; the four that follow are means over them
    episode_return: float | None
    episode_length: float | None
    final_mastery: float | None
    give_ups: float | None  # share that ended by critical frustration
    eval_return: float | None = None  # on held-out learners, and so the rest
    eval_return_specified: float | None = None  # under the specification's reward
    eval_episode_length: float | None = None
    eval_final_mastery: float | None = None
    eval_give_ups: float | None = None

    @property
    def evaluated(self) -> bool:
        """Whether an evaluation is part of the row."""
        return self.eval_return is not None


def write_curve(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, whole or not at all; None is an empty cell."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows([_cell(value) for value in row] for row in rows)
    write_whole(file, stream.getvalue().encode())


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def read_curve(file: str | Path) -> list[Row]:
    """Read what `write_curve` wrote. Raises TrainingError, which names the file."""
    try:
        with Path(file).open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            if next(reader, None) != list(Row._fields):
                raise ValueError(f"its columns are others than {', '.join(Row._fields)}")
            return [_row(cells) for cells in reader]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{file} is not a learning curve: {error}") from None


def _row(cells: Sequence[str]) -> Row:
    steps, seconds, episodes, *means = cells
    return Row(int(steps), float(seconds), int(episodes), *(float(cell) if cell else None for cell in means))


class Panel(NamedTuple):
    """One diagram of a picture: what was trained, what held-out learners show, and what it is held against."""

    title: str
    training: str  # column of Row
    evaluation: str  # column of Row
    level: str  # of the statistics of other policies


PANELS = (
    Panel("return of an episode", "episode_return", "eval_return", "cumulative_reward"),
    Panel("mastery at its end", "final_mastery", "eval_final_mastery", "final_mastery"),
)


def draw_curve(file: Path, rows: Sequence[Row], levels: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw return and final mastery over steps into a PNG, whole or not at all.

    levels  statistics of other policies, by name, as horizontal lines
    """
    # Not pyplot, which keeps figures and looks for a screen.
    figure = require("matplotlib.figure", "sb3", "the picture of a learning curve").Figure(
        figsize=(9.6, 3.8), dpi=160, layout="constrained"
    )
    for axes, panel in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axes.plot(*points(rows, panel.training), color=PALE, linewidth=1.2, label="in training")
        axes.plot(*points(rows, panel.evaluation), color=OURS, linewidth=2, marker="o", markersize=3, label="held out")
        draw_levels(axes, {name: statistics[panel.level]["mean"] for name, statistics in levels.items()})
        finish(axes, panel.title)
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_whole(file, stream.getvalue())


def draw_levels(axes: Any, levels: Mapping[str, float]) -> None:
    """Draw what other policies reach as horizontal lines with their names, which keep apart."""
    low, high = axes.get_ylim()
    least, place = (high - low) / 18, low - (high - low)
    for name, value in sorted(levels.items(), key=lambda level: level[1]):
        place = max(value, place + least)
        _draw_level(axes, name, value, place)


def _draw_level(axes: Any, name: str, value: float, place: float) -> None:
    axes.axhline(value, color=INK, linewidth=0.8, linestyle=":")
    axes.annotate(name, (1, place), (4, -3), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8)


def finish(axes: Any, title: str) -> None:
    """Give a diagram its title, axis and grid."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("interactions, millions")
    axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / MILLION:g}")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def points(rows: Iterable[Row], column: str) -> tuple[list[int], list[float]]:
    """Return the steps at which a column has a value, and the values."""
    there = [(row.steps, getattr(row, column)) for row in rows if getattr(row, column) is not None]
    return [steps for steps, _ in there], [value for _, value in there]
