"""Histories of students, read from the log: interactions as arrays, and mastery along them.

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
from alsim.types import Doubles, Longs, short_repr

Entry = dict[str, Any]
MOST_VALUES = 2**21
"""Number of values of mastery that a part has at most, before and after, unless one student has more: 32 MB."""
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
    score: Doubles
    """1 correct, 0 wrong, between for partial credit, -1 not answered, (M,)."""
    time: Doubles
    """Seconds since 1970, (M,)."""
    chance: Doubles
    """Chance of a correct answer that was forecast, NaN if it was not answered, (M,)."""
    seconds: Doubles
    """Response time, or time spent, seconds, NaN if unknown, (M,)."""
    satisfaction: Doubles
    """Rating, NaN if there is none, (M,)."""
    placements: list[tuple[int, int, dict[str, float]]]
    """Placements after quizzes: row of the student, number of interactions before, and {skill: mastery}."""


def interactions(catalogue: Catalogue, entries: Sequence[Sequence[Entry]]) -> Interactions:
    """Return the interactions in the entries of n students."""
    index, nan = catalogue.index, float("nan")
    rows, placements = list[tuple[Any, ...]](), list[tuple[int, int, dict[str, float]]]()
    for i, listed in enumerate(entries):
        first = len(rows)
        for entry in listed:
            if entry["event"] == events.PLACED:
                placements.append((i, len(rows) - first, entry["mastery"]))
            elif entry["event"] != events.SHOWN:
                item, seconds = index.get(entry["item"], -1), entry["seconds"]
                others = entry.get("chance", nan), nan if seconds is None else seconds, entry.get("satisfaction", nan)
                rows.append((i, item, entry.get("correct", NOT_ANSWERED), entry["time"], *others))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    student, number = (np.array(column, np.int64) for column in columns[:2])
    score, time, chance, duration, satisfaction = (np.array(column, np.float64) for column in columns[2:])
    return Interactions(student, number, score, time, chance, duration, satisfaction, placements)


class Paths(NamedTuple):
    """Mastery of K skills along the interactions of n students."""

    start: Doubles  # (n, K) before the first event of each student
    before: Doubles  # (M, K) before each interaction
    following: Doubles  # (M, K) after it; a placement may raise it until the next one
    placed: Doubles  # (P, K) after each of the P placements


def mastery_paths(model: EngineModel, students: Students, found: Interactions) -> Paths:
    """Return the mastery of the skills along their interactions and placements.

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
    place_of = {int(i): row for row, i in enumerate(order)}
    before, placed = (np.empty((size, len(model.columns))) for size in (len(found.item), len(found.placements)))
    following, start = np.empty_like(before), model.mastery(students)
    due: dict[int, list[int]] = {}
    for p, (_, count, _) in enumerate(found.placements):
        due.setdefault(count, []).append(p)
    for t in range(int(lengths.max(initial=0)) + 1):
        for p in due.get(t, ()):
            row = place_of[found.placements[p][0]]
            own = {name: values[row : row + 1] for name, values in states.items()}
            model.raise_mastery(own, found.placements[p][2])
            placed[p] = model.mastery(own)[0]
        active = int(np.searchsorted(-sizes, -t, side="left"))
        part = {name: values[:active] for name, values in states.items()}
        place = first[:active] + t
        model.advance(part, found.time[place])
        before[place] = model.mastery(part)
        known = found.item[place] >= 0
        items = np.where(known, model.items[found.item[place]], -1)
        model.model.update(part, items, model.read_scores(found.score[place]), items >= 0)
        following[place] = model.mastery(part)
    return Paths(start, before, following, placed)


def mastery_after(paths: Paths, entries: Sequence[Sequence[Entry]]) -> tuple[Doubles, Longs]:
    """Return the mastery after each entry of n logs, and nothing that comes later: values (R, K), and the row of each.

    paths    those of the students
    entries  E entries of the n logs, student by student

    The second array, (E,), has the row of the mastery after each entry: an interaction or a placement changes it, and
    items that were shown do not.
    """
    n, steps = len(paths.start), len(paths.following)
    student = np.repeat(np.arange(n), [len(listed) for listed in entries])
    kinds = [entry["event"] for listed in entries for entry in listed]
    is_placed = np.array([kind == events.PLACED for kind in kinds], np.bool_)
    is_step = ~is_placed & np.array([kind != events.SHOWN for kind in kinds], np.bool_)
    row = np.where(np.append(True, np.diff(student) != 0)[: len(student)], student, -1)
    row[is_step] = n + np.arange(steps)
    row[is_placed] = n + steps + np.arange(len(paths.placed))
    latest = np.maximum.accumulate(np.where(row >= 0, np.arange(len(row)), 0))
    return np.concatenate((paths.start, paths.following, paths.placed)), row[latest]


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
    "Paths",
    "interactions",
    "mastery_after",
    "mastery_paths",
    "parts",
    "session_numbers",
    "student_order",
]
