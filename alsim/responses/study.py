"""Study events: what students did between their responses, such as reading a text or asking for a hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.responses import cells
from alsim.responses.cells import Names, places, starts
from alsim.types import Doubles, Ints, Longs, i32, i64, short_repr

NO_RESPONSES = "study event of a student without responses"
"""Reason to skip a row."""


@short_repr
@dataclass(frozen=True, eq=False)
class StudyEvents:
    """E study events of a response log with R responses of S students and K skills, in order for each student.

    kinds        (N,)   names of the kinds of events, such as "read" or "hint"
    skills       (J,)   names: the K skills of the log, followed by skills that have study events only
    student      (E,)   int32, index into the students of the log; non-decreasing
    position     (E,)   int64, number of responses of the log before the event: it took place after response
                        position - 1, if this is one of the student's, and before response `position`
    kind         (E,)   int32, index into `kinds`
    skill        (X,)   int32, index into `skills`; event e has the skills skill[skill_start[e]:skill_start[e + 1]]
    skill_start  (E+1,) int64; an event may have no skill
    row          (E,)   int64, index of the event in the source of the log, from 0
    time         (E,)   float64, as in the log; None if the log has no times
    seconds      (E,)   float64, duration in seconds, NaN if unknown; None if the log has no durations
    """

    kinds: Names
    skills: Names
    student: Ints
    position: Longs
    kind: Ints
    skill: Ints
    skill_start: Longs
    row: Longs
    time: Doubles | None = None
    seconds: Doubles | None = None

    def __len__(self) -> int:
        return len(self.kind)

    def among(self, rows: Longs) -> StudyEvents:
        """Return the events with their positions among some of the responses, given by increasing indices."""
        return replace(self, position=np.searchsorted(rows, self.position).astype(i64))

    def subset(self, students: Longs, start: Longs) -> StudyEvents:
        """Return the events of some students, in the order of `students`.

        students  indices of students, each at most once
        start     (S+1,) the responses of student s are those from start[s] to start[s + 1] - 1
        """
        counts = np.bincount(self.student, minlength=len(start) - 1)
        chosen = places(starts(counts)[students], counts[students])
        shift = starts(np.diff(start)[students])[:-1] - start[students]
        sizes = np.diff(self.skill_start)[chosen]
        return StudyEvents(
            kinds=self.kinds,
            skills=self.skills,
            student=np.repeat(np.arange(len(students), dtype=i32), counts[students]),
            position=self.position[chosen] + np.repeat(shift, counts[students]),
            kind=self.kind[chosen],
            skill=self.skill[places(self.skill_start[chosen], sizes)],
            skill_start=starts(sizes),
            row=self.row[chosen],
            time=None if self.time is None else self.time[chosen],
            seconds=None if self.seconds is None else self.seconds[chosen],
        )


class Keys(NamedTuple):
    """Keys (R,) that sort rows: the student, the sort key if the log has one, and the index in the source."""

    student: Ints
    sort_key: NDArray[Any] | None
    row: Longs


class EventRows(NamedTuple):
    """Rows of study events, in the order of the source, with names of their own.

    skill        indices into `skills`: those of event e are skill[skill_start[e]:skill_start[e + 1]]; -1 for none
    optional     columns (E,) of time and seconds
    """

    keys: Keys
    kinds: Names
    kind: Ints
    skills: Names
    skill: Ints
    skill_start: Longs
    optional: Mapping[str, NDArray[Any]]


def place_events(events: EventRows, responses: Keys, skills: Names) -> StudyEvents:
    """Return events in the order of their students, each with its position among the responses.

    events     their students are those of the log
    responses  in the order of the log
    skills     (K,) names of the log's skills
    """
    keys = [np.concatenate([events.keys.row, responses.row])]
    if events.keys.sort_key is not None and responses.sort_key is not None:
        keys.append(np.concatenate([events.keys.sort_key, responses.sort_key]))
    keys.append(np.concatenate([events.keys.student, responses.student]))
    sequence = cells.lexsort(*keys)
    is_event = sequence < len(events.kind)
    order = sequence[is_event]
    kind, kinds = cells.compact(events.kind[order], events.kinds)
    sizes = np.diff(events.skill_start)[order]
    codes = events.skill[places(events.skill_start[order], sizes)]
    owner = np.repeat(np.arange(len(order)), sizes)[codes >= 0]
    all_names, codes = _skill_names(codes[codes >= 0], events.skills, skills)
    return StudyEvents(
        kinds=kinds,
        skills=all_names,
        student=events.keys.student[order],
        position=np.cumsum(~is_event)[is_event].astype(i64),
        kind=kind,
        skill=codes,
        skill_start=starts(np.bincount(owner, minlength=len(order))),
        row=events.keys.row[order],
        **{name: column[order] for name, column in events.optional.items()},
    )


def _skill_names(codes: Ints, names: Names, skills: Names) -> tuple[Names, Ints]:
    """Return the skills of the log, followed by the others that have a code, and the codes among these."""
    used = names[np.unique(codes)]
    known = np.concatenate([skills, used[cells.match(used, skills) < 0]])
    return known, cells.match(names, known)[codes]
