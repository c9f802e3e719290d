"""Decisions in the logs of students, replayed: what the recommender knew, from which all propensities follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from alsim.engine.models import EngineModel
from alsim.engine.progress import Progress, forget, set_times, show
from alsim.engine.recommenders import Situation
from alsim.models.student.base import NOT_ANSWERED, Students
from alsim.types import Bools, Doubles, Ints, Longs, short_repr


@short_repr
class Steps(NamedTuple):
    """Entries of the logs of n students: S steps with E items, those of a student in order of time.

    A step is a decision, whose items were shown; an interaction with one item; or a placement after a quiz.
    """

    start: Longs
    """First step of each student, (n,)."""
    size: Longs
    """Number of steps of each student, (n,)."""
    first: Longs
    """Step s has the items first[s] to first[s + 1], (S + 1,)."""
    item: Longs
    """Numbers of the items in the catalogue, -1 for one that it does not have, (E,)."""
    score: Doubles
    """1 correct, 0 wrong, between for partial credit, -1 not answered; NaN for items that were shown, (S,)."""
    time: Doubles
    """Seconds since 1970, (S,)."""
    placed: Mapping[int, Mapping[str, float]]
    """Mastery of skills by the placement at a step."""

    def items(self, steps: Longs) -> Ints:
        """Return the items of some steps, (m, r), -1 after the last."""
        sizes = self.first[steps + 1] - self.first[steps]
        rank = np.arange(sizes.max(initial=1))
        place = np.minimum(self.first[steps][:, np.newaxis] + rank, len(self.item) - 1)
        return np.where(rank < sizes[:, np.newaxis], self.item[place], -1).astype(np.int32)


def decisions(
    model: EngineModel, students: Students, steps: Steps, wanted: Bools, threshold: float, seed: int
) -> Iterator[tuple[Longs, Situation]]:
    """Yield some steps in which items were shown, (m,), and the situation of their students before them.

    students         state of the n students without events; it is not changed
    wanted           whether the situation at a step is yielded, (S,)
    threshold, seed  those of the engine

    The t-th steps of all students are processed together. A situation has no random words, no counters and no log.
    """
    order = np.argsort(-steps.size, kind="stable")  # those who are not finished come first, so that slices suffice
    states, progress = {name: values[order] for name, values in students.items()}, Progress.start(len(order))
    start, sizes = steps.start[order], steps.size[order]
    for t in range(int(sizes.max(initial=0))):
        now = start[: np.searchsorted(-sizes, -t, side="left")] + t
        is_shown = np.isnan(steps.score[now])
        if len(rows := np.flatnonzero(wanted[now] & is_shown)):
            own = {name: values[rows] for name, values in states.items()}
            model.advance(own, steps.time[now[rows]])
            mastery = model.mastery(own)
            ready = model.wanted(own, mastery, threshold)
            words = np.zeros((len(rows), 4), np.uint32)
            found = Situation.without_store(mastery, threshold, progress.rows(rows), words, seed, model, ready=ready)
            yield now[rows], found._replace(now=steps.time[now[rows]].tolist())
        _show(progress, np.flatnonzero(is_shown), steps.items(now[is_shown]))
        is_placed = np.array([step in steps.placed for step in now.tolist()], np.bool_)
        for row in np.flatnonzero(is_placed).tolist():
            own = {name: values[row : row + 1] for name, values in states.items()}
            model.raise_mastery(own, steps.placed[int(now[row])])
        _respond(model, states, progress, steps, now, ~is_shown & ~is_placed)
        set_times(progress, steps.time[now])


def _show(progress: Progress, rows: Longs, items: Ints) -> None:
    """Count that some students were shown items (m, r), in place."""
    shown, counts = progress.shown[rows], progress.counts[rows]
    show(shown, counts, items)
    progress.shown[rows], progress.counts[rows] = shown, counts
    progress.decisions[rows] += 1


def _respond(model: EngineModel, states: Students, progress: Progress, steps: Steps, now: Longs, active: Bools) -> None:
    """Update the states of the students who are active by their interactions, at some steps, in place."""
    item = np.where(active, steps.item[steps.first[now]], -1)
    number = np.where(item >= 0, model.items[item], -1)
    score = np.where(number >= 0, steps.score[now], NOT_ANSWERED)
    if (number >= 0).any():
        part = {name: values[: len(now)] for name, values in states.items()}
        model.advance(part, steps.time[now], number >= 0)
        model.model.update(part, number, model.read_scores(score), number >= 0)
    rows = np.flatnonzero(active)
    progress.interactions[rows] += 1
    rows = np.flatnonzero(item >= 0)
    progress.last[rows] = item[rows]
    forget(progress, rows, item[rows])


__all__ = ["Steps", "decisions"]
