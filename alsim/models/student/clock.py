"""Times and study events of a log, for the student models that know time."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from alsim.models.practice import Times, times_of
from alsim.models.student.base import Students, TimedStudentModel
from alsim.models.student.memory import MemoryModel
from alsim.responses.log import Responses, codes_of
from alsim.types import Longs, short_repr


@short_repr
class Events(NamedTuple):
    """Study events of a log that have a response after them, in its order."""

    number: Longs
    """Number of each in the log's events, (E,)."""
    position: Longs
    """Response before which it took place, (E,); ascending."""
    start: Longs
    """Event e of the log has the skills skill[start[e]:start[e + 1]]."""
    skill: Longs
    """Skills of the model, -1 for unknown ones."""


class Clock:
    """Clock of the students of a log.

    model   student model that knows time; study events are counted by models of memory
    log     log with times
    times   times of the log
    """

    def __init__(self, model: TimedStudentModel, log: Responses, times: Times) -> None:
        self._model, self._times, self._events = model, times, _events(model, log)

    def __repr__(self) -> str:
        return f"<Clock: {len(self._times.hours):,} responses>"

    @classmethod
    def of(cls, model: TimedStudentModel, log: Responses) -> Self:
        """Return the clock of a log. Raises ModelError for a log without times, and for times that run backwards."""
        return cls(model, log, times_of(log, f"the student model {getattr(model, 'kind', type(model).__name__)!r}"))

    def set(self, students: Students, responses: Longs) -> None:
        """Advance n students to the times of their next responses (n,), after the study events before them."""
        if self._events is not None:
            self._study(self._events, students, responses)
        self._model.advance(students, self._times.hours[responses])

    def _study(self, events: Events, students: Students, responses: Longs) -> None:
        """Count the study events of n students between their last and their next responses (n,)."""
        first = np.searchsorted(events.position, responses)
        counts = np.searchsorted(events.position, responses, side="right") - first
        for turn in range(counts.max(initial=0)):
            has = counts > turn
            number = events.number[np.where(has, first + turn, 0)]
            self._model.advance(students, self._times.event_hours[number], has)
            sizes = np.where(has, np.diff(events.start)[number], 0)
            for rank in range(sizes.max(initial=0)):
                rows = np.flatnonzero(sizes > rank)
                skills = events.skill[events.start[number[rows]] + rank]
                self._model.study(students, rows[skills >= 0], skills[skills >= 0])  # type: ignore[attr-defined]  # MemoryModel


def _events(model: TimedStudentModel, log: Responses) -> Events | None:
    """Return the study events before responses; None without events, and for a model that does not count them."""
    study = log.study
    if study is None or not isinstance(model, MemoryModel):
        return None
    number = np.flatnonzero(study.position < log.start[1:][study.student])
    if not len(number):
        return None
    skill = codes_of(study.skills, model.items.skills)[study.skill].astype(np.int64)
    return Events(number, study.position[number], study.skill_start, skill)


__all__ = ["Clock"]
