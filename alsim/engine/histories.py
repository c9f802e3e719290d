"""Histories of students, read from the log: interactions as arrays, and mastery before each of them.

Students are processed in parts, so that the memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from alsim.engine import events
from alsim.engine.catalogue import hash_of
from alsim.engine.engine import AdaptiveEngine
from alsim.models.student.base import NOT_ANSWERED
from alsim.types import Codes, Doubles, Longs, short_repr

Entry = dict[str, Any]
MOST_VALUES = 2**22
"""Number of values of mastery that a part has at most, unless one student has more: 32 MB."""
MOST_STUDENTS = 1024
"""Largest number of students of a part."""


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


def interactions(engine: AdaptiveEngine, entries: Sequence[Sequence[Entry]]) -> Interactions:
    """Return the interactions in the entries of n students."""
    index, nan = engine.catalogue.index, float("nan")
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


def mastery_paths(engine: AdaptiveEngine, names: Sequence[str], found: Interactions) -> tuple[Doubles, Doubles]:
    """Return the mastery of the skills before each interaction, (M, K), and after the last one of each student, (n, K).

    names  names of the n students
    found  their interactions

    It is that of the present student model, as a replay of the log gives it.
    """
    lengths = np.bincount(found.student, minlength=len(names))
    order = np.argsort(-lengths, kind="stable")  # those who are not finished come first, so that slices suffice
    first, sizes = (np.cumsum(lengths) - lengths)[order], lengths[order]
    students = engine.new_students([names[i] for i in order])
    before = np.empty((len(found.item), len(engine.catalogue.skills)))
    for t in range(int(lengths.max(initial=0))):
        active = int(np.searchsorted(-sizes, -t, side="left"))
        part = {name: values[:active] for name, values in students.items()}
        place = first[:active] + t
        before[place] = engine.model.mastery(part)
        known = found.item[place] >= 0
        items = np.where(known, engine.model.items[found.item[place]], -1)
        engine.model.model.update(part, items, found.correct[place], items >= 0)
    after = np.empty((len(names), before.shape[1]))
    after[order] = engine.model.mastery(students)
    return before, after


__all__ = ["Entry", "Interactions", "Part", "interactions", "mastery_paths", "parts", "student_order"]
