"""Replay of the log of an engine: the situation of the student at each item that was shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from alsim.datasets.manifest import DatasetError
from alsim.engine.decisions import Steps, decisions
from alsim.engine.recommenders import Recommender, Situation
from alsim.types import Bools, Doubles, Ints, Longs, short_repr

if TYPE_CHECKING:
    from alsim.datasets.engine_log import EngineLog

MOST_STUDENTS = 1024
"""Largest number of students that are replayed together."""
MOST_SHARES = 2**22
"""Largest number of propensities that are computed at once, unless one student has more: 32 MB."""


@short_repr
class Shown(NamedTuple):
    """Items that were shown to m students at the same rank of a decision."""

    rows: Longs
    """Rows of the events, (m,)."""
    situation: Situation
    """Input of the recommender before the decision."""
    above: Ints
    """Items at the ranks above, (m, r), -1 for one that the catalogue does not have; (m, 1) with -1 at rank 0."""
    rank: int
    """The rank."""

    def part(self, some: Longs) -> Shown:
        """Return some of the m items."""
        if len(some) == len(self.rows):
            return self
        return Shown(self.rows[some], self.situation.rows(some), self.above[some], self.rank)

    def propensities(self, recommender: Recommender) -> Doubles:
        """Return the probability of each item of the catalogue under a recommender, (m, I). Raises EngineError."""
        size = len(recommender.catalogue)
        return recommender.shares(self.situation, np.arange(size), size, self.above)


class Replay:
    """Decisions in the log of an engine, replayed with the student model of the dataset.

    log      EngineLog
    columns  learner_id, item, rank, credit and time of its events as arrays; rank -1 is no item that was shown

    Raises DatasetError for a log whose events are in no valid order.
    """

    def __init__(self, log: EngineLog, columns: dict[str, NDArray[Any]]) -> None:
        self._log = log
        self._item, self._rank, self._learner = columns["item"], columns["rank"], columns["learner_id"]
        self._first: Longs = np.flatnonzero(self._rank <= 0)
        self._check()
        self._columns = columns

    def shown(self, rows: Longs) -> Iterator[Shown]:
        """Yield the items in some rows of the events, each row once, with the situations."""
        is_wanted = np.zeros(len(self._rank), np.bool_)
        is_wanted[rows] = True
        wanted = np.zeros(len(self._first), np.bool_)
        wanted[np.searchsorted(self._first, rows, side="right") - 1] = True
        learners = np.unique(self._learner[rows])
        settings, model = self._log.manifest["engine"], self._log.model
        size = max(1, min(MOST_STUDENTS, MOST_SHARES // len(self._log.catalogue)))
        for begin in range(0, len(learners), size):
            part = learners[begin : begin + size]
            start, end = (np.searchsorted(self._learner[self._first], part, side=side) for side in ("left", "right"))
            steps = self._steps._replace(start=start, size=end - start)
            names = [self._log.learner_name(k) for k in part.tolist()]
            students = model.new_students(names)
            for now, situation in decisions(model, students, steps, wanted, settings["threshold"], settings["seed"]):
                yield from self._ranks(steps, now, situation, is_wanted)

    def _ranks(self, steps: Steps, now: Longs, situation: Situation, is_wanted: Bools) -> Iterator[Shown]:
        """Yield the items that were shown in some steps, rank by rank."""
        items, first = steps.items(now), steps.first[now]
        sizes = steps.first[now + 1] - first
        above = np.full((len(now), 1), -1, np.int32)
        for rank in range(items.shape[1]):
            places = np.flatnonzero(sizes > rank)
            places = places[is_wanted[first[places] + rank]]
            if len(places):
                yield Shown(first + rank, situation, above, rank).part(places)
            above = items[:, : rank + 1]

    @cached_property
    def _steps(self) -> Steps:
        """All steps; those of each student are missing."""
        columns, first = self._columns, self._first
        none: Longs = np.zeros(0, np.int64)
        return Steps(
            start=none,
            size=none,
            first=np.append(first, len(self._rank)),
            item=self._item,
            score=np.where(self._rank[first] == 0, np.nan, columns["credit"][first]),
            time=columns["time"][first],
            placed=self._placed(),
        )

    def _placed(self) -> dict[int, dict[str, float]]:
        """Return the mastery by the placement at each step that is one."""
        column, skills = self._log.events.column("placed"), self._log.manifest["skills"]
        rows = np.flatnonzero(pc.is_valid(column).to_numpy())
        steps = np.searchsorted(self._first, rows).tolist()
        return {
            step: {skill: p for skill, p in zip(skills, values, strict=True) if p == p}
            for step, values in zip(steps, column.take(rows).to_pylist(), strict=True)
        }

    def _check(self) -> None:
        """Raise DatasetError unless students are in order, ranks are consecutive, and items are in the catalogue."""
        row, rank = np.arange(len(self._rank)), self._rank
        begin = np.maximum.accumulate(np.where(rank <= 0, row, 0))
        is_wrong = (rank >= 0) & (rank != row - begin)
        is_wrong |= (rank > 0) & ((self._learner != self._learner[begin]) | (rank[begin] != 0))
        is_wrong |= (self._item < -1) | (self._item >= len(self._log.catalogue))
        is_wrong[1:] |= np.diff(self._learner) < 0
        if is_wrong.any():
            raise DatasetError(
                f"{self._log.path} is damaged: row {int(is_wrong.argmax())} of its events is out of order, or has an "
                "item that the catalogue does not have; restore the dataset, or export the log again"
            )


__all__ = ["Replay", "Shown"]
