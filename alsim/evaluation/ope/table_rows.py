"""Rows of a user's log, sorted by episode and step, and the checks of their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.evaluation.ope.episodes import Place
from alsim.evaluation.ope.inputs import STATED
from alsim.evaluation.ope.roles import Chosen
from alsim.evaluation.statistics_input import LARGEST
from alsim.responses.named_columns import NamedColumns
from alsim.types import Bools, Doubles, Longs

MAX_CELLS = 2**28
"""Largest number of episodes times that of the steps of the longest one: arrays of 2 GB."""
CURE = "correct the row, or leave the episode out"


class TableRows:
    """Rows of a table, sorted by episode and step.

    names       names of the columns by role
    lengths     (n,) number of steps of each episode
    place       place of each row in arrays (n, T)
    units       (n,) independent unit of each episode
    unit_names  (U,) names of the units
    """

    def __init__(self, table: NamedColumns, chosen: Chosen) -> None:
        self.table, self.names, self.features = table, chosen.names, chosen.features or ()
        if table.num_rows == 0:
            raise AlsimError(f"{table.source}: the table is empty: add one row per step")
        self._order: Longs = np.arange(table.num_rows)
        self._steps: NDArray[Any] | None = None
        codes, self._episodes = self.ranked("episode")
        self._order = self._sorted(codes)
        codes = codes[self._order]
        self.lengths: Longs = np.bincount(codes)
        shape = len(self.lengths), int(self.lengths.max())
        if shape[0] < 2:
            raise AlsimError(
                f"{table.source}: all {table.num_rows:,} rows are of one episode, {self.episode(0)}, and a standard "
                "error needs at least 2; name the column with the ids of the episodes, or collect more"
            )
        if shape[0] * shape[1] > MAX_CELLS:
            raise AlsimError(
                f"{table.source}: the longest of {shape[0]:,} episodes, {self.episode(int(self.lengths.argmax()))}, "
                f"has {shape[1]:,} steps, and arrays of {MAX_CELLS:,} numbers are the largest: divide long episodes"
            )
        self.place = Place.of_lengths(self.lengths)
        self._check_distinct()
        self.units, self.unit_names = self._units()

    def _sorted(self, codes: Longs) -> Longs:
        """Return the indices that sort the rows by episode and step."""
        if "step" not in self.names:
            return np.argsort(codes, kind="stable")
        self._steps, wrong = self.table.order(self.names["step"])
        if wrong.any():
            raise self._error("step", int(wrong.argmax()), codes, "must be a number or a time")
        return np.lexsort((self._steps, codes))

    def _check_distinct(self) -> None:
        """Raise AlsimError for an episode with two rows of one step."""
        if self._steps is None:
            return
        steps = self._steps[self._order]
        twice = (np.diff(self.place.episode) == 0) & (steps[1:] == steps[:-1])
        if twice.any():
            k = int(twice.argmax()) + 1
            raise AlsimError(
                f"{self._row(int(self._order[k]))}: {self.where(k)} occurs more than once: keep one row per step, or "
                "correct the ids of the episodes"
            )

    def _units(self) -> tuple[Longs, NDArray[Any]]:
        """Return the unit of each episode, (n,), and the names of the units."""
        first = np.cumsum(self.lengths) - self.lengths
        if "learner" not in self.names:
            return np.arange(len(self.lengths)), self._episodes
        codes, names = self.ranked("learner")
        units = codes[first]
        if (other := codes != units[self.place.episode]).any():
            k = int(other.argmax())
            pair = names[units[self.place.episode[k]]], names[codes[k]]
            raise AlsimError(
                f"{self._row(int(self._order[k]))}: {self.where(k)}, is of learner {pair[1]}, and the first step of "
                f"the episode of learner {pair[0]}: an episode has one learner; correct the ids"
            )
        if len(names) < 2:
            raise AlsimError(
                f"{self.table.source}: all episodes are of one learner, {names[0]}, and a standard error needs at "
                "least 2 independent learners (or classes): collect more"
            )
        return units, names

    def ranked(self, role: str) -> tuple[Longs, NDArray[Any]]:
        """Return the number of the name in each row, (M,), and the names in ascending order."""
        found = self.table.ranked(self.names[role])
        if (wrong := found.codes < 0).any():
            raise self._error(role, int(wrong.argmax()), None, "must not be missing")
        return found.codes[self._order], found.names

    def numbers(self, role: str) -> Doubles:
        """Return finite numbers, (M,). Raises AlsimError for other values."""
        return self._finite(role, self.names[role])

    def probabilities(self, role: str, *, least: bool = True) -> Doubles:
        """Return probabilities, (M,); 0 is one if `least`. Raises AlsimError for other values."""
        values = self.numbers(role)
        wrong: Bools = (values > STATED) | ((values < 0) if least else (values <= 0))
        if wrong.any():
            bounds = "[0, 1]" if least else "(0, 1], as the action was taken"
            raise self._error(role, self._order[wrong.argmax()], None, f"must be a probability in {bounds}")
        return values

    def feature_matrix(self) -> Doubles:
        """Return the features, (M, d)."""
        columns = [self._finite(f"feature {name!r}", name) for name in self.features]
        return np.stack(columns, axis=1) if columns else np.empty((self.table.num_rows, 0))

    def _finite(self, what: str, name: str) -> Doubles:
        """Return the numbers of a column. Raises AlsimError for other values."""
        values = self.table.numbers(name)
        if (wrong := ~(np.abs(values) <= LARGEST)).any():
            raise self._error(what, int(wrong.argmax()), None, "must be a finite number", name)
        return values[self._order]

    def _error(self, what: str, row: int, codes: Longs | None, expected: str, name: str | None = None) -> AlsimError:
        """Return the error about a cell.

        what   role of its column
        row    index in the table
        codes  (M,) number of the episode of each row of the table; None if the rows are sorted
        name   name of its column; None: by its role
        """
        name = self.names[what] if name is None else name
        value = self.table.cell(name, int(row))
        got = "a missing value (NaN)" if value is None else f"{value!r:.60}"
        column = "" if what == name or name in what else f" (column {name!r:.60})"
        where = ""
        if codes is not None:
            where = f" in episode {self._episodes[codes[row]]}"
        elif what != "episode":
            where = f" in {self.where(int(np.flatnonzero(self._order == row)[0]))}"
        return AlsimError(f"{self._row(int(row))}: {what}{column} {expected}; got {got}{where}: {CURE}")

    def _row(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return f"{self.table.source}, {self.table.describe_row(row)}"

    def episode(self, number: int) -> str:
        """Return the id of an episode, for messages."""
        return str(self._episodes[number])

    def where(self, k: int) -> str:
        """Return the episode and the step of a sorted row, for messages; steps without names are counted from 0."""
        step = self.place.step[k]
        if "step" in self.names:
            step = self.table.cell(self.names["step"], int(self._order[k]))
        return f"episode {self.episode(int(self.place.episode[k]))}, step {step}"


__all__ = ["TableRows"]
