"""Decisions in the log of a student, replayed: what the recommender knew, from which all propensities follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from alsim.engine.models import EngineModel
from alsim.engine.progress import Progress, remove_shown, set_time, show
from alsim.engine.recommenders import Situation
from alsim.models.student.base import Students
from alsim.types import short_repr


@short_repr
class Step(NamedTuple):
    """An entry of a log: items that were shown, an interaction with one item, or a placement after a quiz."""

    items: list[int]
    """Numbers of the items in the catalogue, -1 for one that it does not have; [] for a placement."""
    time: float
    """Seconds since 1970."""
    score: float | None = None
    """1 correct, 0 wrong, between for partial credit, -1 not answered; None for items that were shown."""
    placed: dict[str, float] | None = None
    """Mastery of skills by a placement; None for others."""


def decisions(
    model: EngineModel, students: Students, steps: Iterable[Step], threshold: float, seed: int
) -> Iterator[tuple[int, Situation]]:
    """Yield the number of each step in which items were shown, and the situation of the student before it.

    students         state of one student without events, which is changed in place
    threshold, seed  those of the engine

    A situation is valid until the next one is requested. It has no random words, no counters and no log.
    """
    progress, words = Progress.start(1), np.zeros((1, 4), np.uint32)
    for number, step in enumerate(steps):
        if step.placed is not None:
            model.raise_mastery(students, step.placed)
        elif step.score is None:
            mastery = model.mastery(students)
            yield number, Situation.without_store(mastery, threshold, progress, words, seed, model, step.time)
            show(progress.shown, progress.counts, np.array([step.items], np.int32).reshape(1, -1))
            progress.decisions[0] += 1
        elif (item := step.items[0]) >= 0:
            if model.items[item] >= 0:
                model.model.update(students, model.items[[item]], model.read_scores(np.array([step.score])))
            progress.interactions[0] += 1
            progress.last[0] = item
            remove_shown(progress, item)
        set_time(progress, step.time)


__all__ = ["Step", "decisions"]
