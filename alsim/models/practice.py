"""Earlier practice of each skill, and the time since the last one, before each response of a log with times."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.jit.compile import lean_kernel
from alsim.models.base import ModelError
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Codes, Doubles, Ints, Longs, short_repr

PER_HOUR, HOURS_PER_DAY = 3600.0, 24.0
PRIOR = 0.3
"""Default recall of a skill before its first practice: near 2/7, the mean of the simulator's starting mastery, which is
Beta(2, 5) distributed."""


@short_repr
class Times(NamedTuple):
    """Times of a log with R responses and E study events, since the first of its student."""

    hours: Doubles
    """Hours of each response, (R,)."""
    event_hours: Doubles
    """Hours of each study event, (E,)."""


@short_repr
class Practice(NamedTuple):
    """Earlier practice of each skill of each response, (X,)."""

    right: Doubles
    """Number of correct answers and study events before."""
    wrong: Doubles
    """Number of wrong answers before."""
    days: Doubles
    """Days since the last of them; NaN without any."""


def times_of(log: Responses, user: str) -> Times:
    """Return the times of responses and study events.

    user  what needs the times, for the message

    Raises ModelError for a log without times, for unknown times, and for times that run backwards.
    """
    study = log.study
    events = np.zeros(0) if study is None else study.time
    if log.time is None or events is None:
        raise ModelError(
            f"{user} needs the times of the responses; the log has none: read it with columns={{'time': NAME}} "
            "(--columns time=NAME)"
        )
    if unknown := int(np.isnan(log.time).sum() + np.isnan(events).sum()):
        raise ModelError(
            f"{user} needs the times of all responses and study events; {unknown:,} are unknown: leave these rows out "
            "of the file, or read it with --skip-bad"
        )
    student = log.student if study is None else np.concatenate([study.student, log.student])
    position = np.arange(len(log)) if study is None else np.concatenate([study.position, np.arange(len(log))])
    seconds = np.concatenate([events, log.time])
    order = np.lexsort((np.arange(len(seconds)), position, student))  # an event is before the response at its position
    backwards = (np.diff(seconds[order]) < 0) & (np.diff(student[order]) == 0)
    if backwards.any():
        name = str(log.students[student[order][1:][backwards][0]])
        raise ModelError(
            f"{user}: times run backwards in the log of student {name!r}: leave out the column "
            "order, so that the times sort the responses (--columns order=)"
        )
    start = np.searchsorted(student[order], np.arange(log.num_students))
    hours = (seconds - np.append(seconds[order], 0.0)[start][student]) / PER_HOUR
    return Times(hours[len(events) :], hours[: len(events)])


def earlier_practice(log: Responses, times: Times, *, skills: Names | None = None) -> Practice:
    """Return the earlier practice of each skill of each response, of the same student.

    times   result of `times_of`
    skills  (K,) names by which the skills of study events are matched; None for `log.skills`

    A study event counts as a correct answer. All skills of a response are read before it is counted.
    """
    names, study = log.skills if skills is None else skills, log.study
    position, event_skill, event_start = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(1, np.int64)
    first = np.zeros(log.num_students + 1, np.int64)
    if study is not None:
        position, event_start = study.position, study.skill_start
        event_skill = codes_of(study.skills, names)[study.skill].astype(np.int32)
        first = np.searchsorted(study.student, np.arange(log.num_students + 1)).astype(np.int64)
    found = Practice(*np.empty((3, len(log.skill))))
    memory = np.zeros((3, len(names)))
    memory[2] = np.nan
    _count(
        *(log.start, log.correct, times.hours, log.skill_start, log.skill),
        *(first, position, times.event_hours, event_start, event_skill),
        *(*found, memory),
    )
    return found


@lean_kernel
def _count(
    start: Longs,
    correct: Codes,
    hours: Doubles,
    skill_start: Longs,
    skill: Ints,
    first: Longs,
    position: Longs,
    event_hours: Doubles,
    event_start: Longs,
    event_skill: Ints,
    right: Doubles,
    wrong: Doubles,
    days: Doubles,
    memory: Doubles,
) -> None:
    """Write the practice before each response.

    first   (S+1,) the events of student s are those from first[s] to first[s + 1] - 1
    memory  (3, K) right, wrong and hours of the last practice; 0, 0 and NaN before and afterwards
    """
    for s in range(len(start) - 1):
        e = first[s]
        for r in range(start[s], start[s + 1]):
            while e < first[s + 1] and position[e] <= r:
                for x in range(event_start[e], event_start[e + 1]):
                    k = event_skill[x]
                    if k >= 0:
                        memory[0, k] += 1.0
                        memory[2, k] = event_hours[e]
                e += 1
            for x in range(skill_start[r], skill_start[r + 1]):
                k = skill[x]
                right[x], wrong[x] = memory[0, k], memory[1, k]
                days[x] = (hours[r] - memory[2, k]) / HOURS_PER_DAY
            for x in range(skill_start[r], skill_start[r + 1]):
                k = skill[x]
                memory[1 - correct[r], k] += 1.0
                memory[2, k] = hours[r]
        for x in range(skill_start[start[s]], skill_start[start[s + 1]]):
            memory[0, skill[x]], memory[1, skill[x]], memory[2, skill[x]] = 0.0, 0.0, np.nan
        for x in range(event_start[first[s]], event_start[first[s + 1]]):
            if event_skill[x] >= 0:
                memory[0, event_skill[x]], memory[2, event_skill[x]] = 0.0, np.nan


__all__ = ["HOURS_PER_DAY", "PRIOR", "Practice", "Times", "earlier_practice", "times_of"]
