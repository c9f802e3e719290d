"""Histories of students, read from the log: interactions as arrays, and mastery before each of them.

Students are processed in parts, so that the memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from alsim.engine import events
from alsim.engine.catalogue import Catalogue, hash_of
from alsim.engine.engine import AdaptiveEngine
from alsim.engine.models import EngineModel
from alsim.models.student.base import NOT_ANSWERED, Students
from alsim.types import Codes, Doubles, Longs, short_repr

Entry = dict[str, Any]
MOST_VALUES = 2**22
"""Number of values of mastery that a part has at most, unless one student has more: 32 MB."""
MOST_STUDENTS = 1024
"""Largest number of students of a part."""
SESSION_GAP = 1800.0
"""Default time without an event after which a session has ended, seconds."""


@short_repr
class Part(NamedTuple):
    """Histories of some students. n students, M interactions."""

    first: int
    """Number of the first student: students are numbered from 0 in the order of `student_order`."""
    names: list[str]
    """Names of the students, (n,)."""
    entries: list[list[Entry]]
    """Entries of the log of each student, oldest first."""


def student_order(engine: AdaptiveEngine) -> list[str]:
    """Return the names of all students in the order of a hash of the name: it is the same for every store."""
    return sorted(engine.students(), key=lambda name: (hash_of(name), name))


def parts(engine: AdaptiveEngine) -> Iterator[Part]:
    """Yield the histories of all students in parts of bounded size. A student who is deleted meanwhile has no entries.

    Raises StoreError for a damaged log.
    """
    first, names, found, size = 0, list[str](), list[list[Entry]](), 0
    width = len(engine.catalogue.skills)
    for number, name in enumerate(student_order(engine)):
        entries = [events.decode(entry) for entry in engine.store.entries(name)]
        if names and (len(names) == MOST_STUDENTS or (size + len(entries)) * width > MOST_VALUES):
            yield Part(first, names, found)
            first, names, found, size = number, [], [], 0
        names.append(name)
        found.append(entries)
        size += len(entries)
    if names:
        yield Part(first, names, found)


@short_repr
class Interactions(NamedTuple):
    """Interactions of n students, student by student, in order of time: answers and studied contents. M interactions.

    Only those with an item of the present catalogue have an item number; they alone change mastery.
    """

    student: Longs
    """Row of the student within its part, (M,)."""
    item: Longs
    """Number of the item, -1 if the catalogue does not have it, (M,)."""
    correct: Codes
    """1 correct, 0 wrong, -1 not answered, (M,)."""
    time: Doubles
    """Seconds since 1970, (M,)."""
    chance: Doubles
    """Chance of a correct answer that was forecast, NaN if it was not answered, (M,)."""
    seconds: Doubles
    """Response time, or time spent, seconds, NaN if unknown, (M,)."""
    satisfaction: Doubles
    """Rating, NaN if there is none, (M,)."""


def interactions(catalogue: Catalogue, entries: Sequence[Sequence[Entry]]) -> Interactions:
    """Return the interactions in the entries of n students."""
    index, nan = catalogue.index, float("nan")
    rows = [
        (
            i,
            index.get(entry["item"], -1),
            entry.get("correct", NOT_ANSWERED),
            entry["time"],
            entry.get("chance", nan),
            nan if entry["seconds"] is None else entry["seconds"],
            entry.get("satisfaction", nan),
        )
        for i, listed in enumerate(entries)
        for entry in listed
        if entry["event"] != events.SHOWN
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(Interactions._fields)
    kinds = (np.int64, np.int64, np.int8, np.float64, np.float64, np.float64, np.float64)
    return Interactions(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def mastery_paths(model: EngineModel, students: Students, found: Interactions) -> tuple[Doubles, Doubles]:
    """Return the mastery of the skills before each interaction, (M, K), and after the last one of each student, (n, K).

    model     student model of the engine
    students  state of n students without events; it is not changed
    found     their interactions

    The mastery is that by this model, as a replay of the log gives it.
    """
    n = len(next(iter(students.values())))
    lengths = np.bincount(found.student, minlength=n)
    order = np.argsort(-lengths, kind="stable")  # those who are not finished come first, so that slices suffice
    first, sizes = (np.cumsum(lengths) - lengths)[order], lengths[order]
    states = {name: values[order] for name, values in students.items()}
    before = np.empty((len(found.item), len(model.columns)))
    for t in range(int(lengths.max(initial=0))):
        active = int(np.searchsorted(-sizes, -t, side="left"))
        part = {name: values[:active] for name, values in states.items()}
        place = first[:active] + t
        before[place] = model.mastery(part)
        known = found.item[place] >= 0
        items = np.where(known, model.items[found.item[place]], -1)
        model.model.update(part, items, found.correct[place], items >= 0)
    after = np.empty((n, before.shape[1]))
    after[order] = model.mastery(states)
    return before, after


def session_numbers(student: Longs, time: Doubles, gap: float) -> Longs:
    """Return the number of the session of each event, from 0 for each student, (E,).

    student, time  (E,), ordered by student and then by time, seconds
    gap            time between two events of a student from which they belong to different sessions, seconds
    """
    is_new_student = np.append(True, np.diff(student) != 0)[: len(student)]
    starts = is_new_student | np.append(True, np.diff(time) >= gap)[: len(time)]
    total = np.cumsum(starts)
    first = np.maximum.accumulate(np.where(is_new_student, total, 0))
    return np.asarray(total - first)


__all__ = [
    "SESSION_GAP",
    "Entry",
    "Interactions",
    "Part",
    "interactions",
    "mastery_paths",
    "parts",
    "session_numbers",
    "student_order",
]
