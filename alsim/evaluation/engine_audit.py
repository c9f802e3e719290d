"""Audit of the log of an engine: mastery, forecasts, sessions, returns and satisfaction, by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from alsim.engine.engine import AdaptiveEngine
from alsim.engine.events import ANSWERED, STUDIED
from alsim.engine.histories import SESSION_GAP, Part, interactions, mastery_after, mastery_paths, parts, session_numbers
from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.estimates import PairedDifference, Statistic, estimate
from alsim.evaluation.monitoring import (
    WEEK,
    Observed,
    calibration,
    difference,
    return_rate,
    session_lengths,
)
from alsim.evaluation.statistics import holm
from alsim.types import Bools, Doubles, Longs, describe, short_repr
from alsim.utils.tables import normalized, read_cells

RETURNS = (1, 7, 28)
"""Days within which students come back."""
MOST_WEEKS = 26
"""Largest number of weeks since the first event for which mastery is reported."""
STUDENT_COLUMNS = ("student", "student_id", "name", "learner", "id")
"""Names of the column of students in a table."""
MOST_GROUPS = 50
"""Largest number of groups: a column with more values is no group."""


@short_repr
@dataclass
class Columns:
    """Columns of the log for an audit. n students, M interactions, S sessions."""

    names: list[str]
    mastered: Doubles  # (n,) share of the skills that is mastered now
    first: Doubles  # (n,) time of the first event
    by_week: Doubles  # (n, W) share that was mastered after each number of weeks since the first event
    student: Longs  # (M,)
    time: Doubles  # (M,)
    chance: Doubles  # (M,) NaN for contents
    correct: Doubles  # (M,) NaN for contents
    satisfaction: Doubles  # (M,) NaN without a rating
    session_student: Longs  # (S,)
    session_start: Doubles  # (S,)
    session_end: Doubles  # (S,)
    session_interactions: Longs  # (S,)


def read_columns(
    engine: AdaptiveEngine, gap: float = SESSION_GAP, progress: Callable[[int], None] | None = None
) -> Columns:
    """Return the columns of the log of all students; the arguments are those of `audit_engine`."""
    names, found = list[str](), list[tuple[Any, ...]]()
    for part in parts(engine):
        kept = [k for k, entries in enumerate(part.entries) if entries]
        part = Part(len(names), [part.names[k] for k in kept], [part.entries[k] for k in kept])
        found.append(_columns_of(engine, part, gap))
        names += part.names
        if progress is not None:
            progress(len(names))
    if not found:
        raise AlsimError("the engine has no events yet; audit it after students have used it")
    return Columns(names, *(np.concatenate(column) for column in zip(*found, strict=True)))


def _columns_of(engine: AdaptiveEngine, part: Part, gap: float) -> tuple[Any, ...]:
    """Return the columns of some students, each with events."""
    x = interactions(engine.catalogue, part.entries)
    paths = mastery_paths(engine.model, engine.model.new_students(part.names), x)
    mastery, row = mastery_after(paths, part.entries)
    mastered = (mastery >= engine.threshold).mean(axis=1)[row]
    student = np.repeat(np.arange(len(part.names)), [len(entries) for entries in part.entries])
    time = np.array([entry["time"] for entries in part.entries for entry in entries], np.float64)
    steps = np.array([entry["event"] in (ANSWERED, STUDIED) for entries in part.entries for entry in entries], np.bool_)
    first = time[np.searchsorted(student, np.arange(len(part.names)))]
    by_week = np.empty((len(part.names), MOST_WEEKS + 1))
    ends = np.searchsorted(student, np.arange(len(part.names) + 1))
    for i, (a, b) in enumerate(pairwise(ends.tolist())):  # after all events until that moment
        moments = first[i] + WEEK * np.arange(MOST_WEEKS + 1)
        by_week[i] = mastered[a + np.searchsorted(time[a:b], moments, side="right") - 1]
    session = session_numbers(student, time, gap)
    is_first = np.append(True, (np.diff(student) != 0) | (np.diff(session) != 0))[: len(student)]
    start = np.flatnonzero(is_first)
    end = np.append(start[1:], len(student))[: len(start)] - 1
    correct = np.where(x.score >= 0, x.score, np.nan)
    counts = np.bincount(np.cumsum(is_first) - 1, steps, len(start)).astype(np.int64)
    sessions = student[start] + part.first, time[start], time[end], counts
    return (
        mastered[ends[1:] - 1],
        first,
        by_week,
        x.student + part.first,
        x.time,
        x.chance,
        correct,
        x.satisfaction,
        *sessions,
    )


def audit_engine(
    engine: AdaptiveEngine,
    groups: Mapping[str, str | None] | None = None,
    *,
    session_gap: float = SESSION_GAP,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Audit the log of an engine, for all students and by group. Return JSON values; docs/engine/monitoring.md.

    groups       group of students by name; None is unknown. Students who are not in it have no group
    session_gap  time without an event after which a session has ended, seconds, > 0
    progress     function that is called with the number of students done

    The unit of all statistics is the student. Students and sessions that cannot be observed yet are left out and
    counted, and undefined values are None. Raises AlsimError for invalid arguments and for a log without events.
    """
    if isinstance(session_gap, bool) or not isinstance(session_gap, int | float) or not 0 < session_gap < np.inf:
        raise AlsimError(f"the gap between sessions must be positive; got {describe(session_gap)} s: 1,800 s is usual")
    x = read_columns(engine, session_gap, progress)
    log_start, log_end = float(x.first.min()), float(x.session_end.max())
    labels = [None if groups is None else groups.get(name) for name in x.names]
    if groups is not None and all(label is None for label in labels):
        raise AlsimError(_no_group(groups, x.names))
    values = sorted({label for label in labels if label is not None})
    if len(values) > MOST_GROUPS:
        raise AlsimError(f"there must be at most {MOST_GROUPS} groups; got {len(values):,}: choose another column")
    everybody = np.ones(len(x.names), np.bool_)
    masks = {value: np.array([label == value for label in labels], np.bool_) for value in values}
    times = log_start, log_end, float(session_gap)
    return {
        "students": len(x.names),
        "interactions": len(x.time),
        "threshold": engine.threshold,
        "session_gap_seconds": float(session_gap),
        "log_start": log_start,
        "log_end": log_end,
        "without_group": None if groups is None else sum(label is None for label in labels),
        "without_events": None if groups is None else len(groups.keys() - set(x.names)),
        "all": section(x, everybody, *times),
        "by_group": {value: section(x, mask, *times) for value, mask in masks.items()},
        "differences": differences(x, masks),
    }


def _no_group(groups: Mapping[str, str | None], names: Sequence[str]) -> str:
    """Return the sentence about groups that no student of the log has."""
    known = groups.keys() & set(names)
    if known:
        return (
            f"the {len(known):,} students of the log that the table of groups has are without a group: fill their "
            "cells, or choose another column"
        )
    return (
        f"no student of the log is in the table of groups: the log has {names[0]!r:.60}, and the table "
        f"{next(iter(groups), 'no rows')!r:.60}; use the names of the log as the column student"
    )


def section(x: Columns, mask: Bools, log_start: float, log_end: float, gap: float) -> dict[str, Any]:
    """Return the audit of the students of a mask (n,) as JSON values."""
    rows, of_session = mask[x.student], mask[x.session_student]
    asked = rows & ~np.isnan(x.chance)
    found = calibration(x.chance[asked], x.correct[asked], x.student[asked]).to_dict()
    sessions = of_session, x.session_student[of_session], x.session_start[of_session], x.session_end[of_session]
    lengths = session_lengths(*sessions[1:], x.session_interactions[of_session], gap, log_end)
    rated = rows & ~np.isnan(x.satisfaction)
    ratings = x.satisfaction[rated]
    return {
        "students": int(mask.sum()),
        "mastery": {"rate": estimate(x.mastered[mask]).to_dict(), "by_week": _mastery_by_week(x, mask, log_end)},
        "calibration": {**found, "by_week": _calibration_by_week(x, asked, log_start)},
        "sessions": {
            "count": int(of_session.sum()),
            "minutes": lengths[0].to_dict(),
            "interactions": lengths[1].to_dict(),
        },
        "returns": {str(days): rate.to_dict() for days, rate in _returns(x, mask, log_end).items()},
        "satisfaction": {
            "mean": estimate(ratings, x.student[rated]).to_dict(),
            "low": float(ratings.min()) if len(ratings) else None,
            "high": float(ratings.max()) if len(ratings) else None,
            "rated": len(ratings),
            "unrated": int(rows.sum()) - len(ratings),
        },
    }


def _mastery_by_week(x: Columns, mask: Bools, log_end: float) -> list[dict[str, Any]]:
    """Return the mastery of students some weeks after their first event, as long as any is observed so long."""
    found = []
    for week in range(MOST_WEEKS + 1):
        observed = mask & (x.first + WEEK * week <= log_end)
        if not observed.any():
            break
        rate = Observed(estimate(x.by_week[observed, week]), int(mask.sum() - observed.sum()))
        found.append({"week": week, "rate": rate.to_dict()})
    return found


def _calibration_by_week(x: Columns, asked: Bools, log_start: float) -> list[dict[str, Any]]:
    """Return bias and Brier score of the answers of each week of the log with answers."""
    week, found = ((x.time - log_start) // WEEK).astype(np.int64), []
    for number in np.unique(week[asked]).tolist():
        here = asked & (week == number)
        one = calibration(x.chance[here], x.correct[here], x.student[here])
        start = datetime.fromtimestamp(log_start + WEEK * number, UTC).strftime("%Y-%m-%d")
        statistics = {"answers": one.answers, "bias": one.bias.to_dict(), "brier": one.brier.to_dict()}
        found.append({"week": int(number), "start": start, **statistics})
    return found


def _returns(x: Columns, mask: Bools, log_end: float) -> dict[int, Observed]:
    """Return the share of students who came back, by the number of days."""
    start = np.searchsorted(x.session_student, np.arange(len(x.names)))
    following = np.minimum(start + 1, len(x.session_student) - 1)
    has_second = (following > start) & (x.session_student[following] == np.arange(len(x.names)))
    second = np.where(has_second, x.session_start[following], np.nan)
    return {days: return_rate(x.session_end[start][mask], second[mask], days, log_end) for days in RETURNS}


def differences(x: Columns, masks: Mapping[str, Bools]) -> dict[str, dict[str, Any]]:
    """Return how mastery and bias of each group differ from those of all other students with a group.

    The p-values are adjusted for all groups and both statistics by Holm's method.
    """
    asked, anyone = ~np.isnan(x.chance), np.zeros(len(x.names), np.bool_)
    for mask in masks.values():
        anyone |= mask

    def bias(mask: Bools) -> Statistic:
        rows = asked & mask[x.student]
        return estimate((x.chance - x.correct)[rows], x.student[rows])

    found: dict[tuple[str, str], PairedDifference] = {}
    if len(masks) > 1:
        for group, mask in masks.items():
            rest = anyone & ~mask
            found[group, "mastery"] = difference(estimate(x.mastered[mask]), estimate(x.mastered[rest]))
            found[group, "bias"] = difference(bias(mask), bias(rest))
    defined = [key for key, one in found.items() if not np.isnan(one.p)]
    adjusted = dict(zip(defined, holm([found[key].p for key in defined]).tolist(), strict=True)) if defined else {}
    report: dict[str, dict[str, Any]] = {}
    for key, one in found.items():
        report.setdefault(key[0], {})[key[1]] = {**one.to_dict(), "p_adjusted": adjusted.get(key)}
    return report


def read_groups(file: str | Path, column: str) -> dict[str, str | None]:
    """Return the group of each student in a table: {name: group}, None for an empty cell.

    file    table (text or Parquet) with one row per student, with a column `student` (or student_id, name, learner or
            id) and others
    column  column with the groups

    Raises AlsimError, which names the file and the line, for an unknown column and for a student who occurs twice.
    """
    path = Path(file)
    cells = read_cells(path, {*STUDENT_COLUMNS, normalized(column)})
    titles = {normalized(title): title for title in cells.header}
    student = next((titles[name] for name in STUDENT_COLUMNS if name in titles), None)
    if student is None:
        raise AlsimError(f"{path} has no column of students; expected one named student; got {', '.join(cells.header)}")
    chosen = column if column in cells.header else titles.get(normalized(column))
    if chosen is None or chosen == student:
        others = [title for title in cells.header if title != student]
        cure = did_you_mean(column, others) or f"; expected one of {', '.join(others)}"
        raise AlsimError(f"{path} has no column {column!r} with groups{cure}")
    if not cells.rows:
        raise AlsimError(f"{path} has a header and no rows; expected one row per student: add the students")
    found: dict[str, str | None] = {}
    for name, group, place in zip(cells.column(student), cells.column(chosen), cells.places, strict=True):
        if name in found:
            raise AlsimError(f"{path}, {place}: the student {name!r} occurs more than once; keep one row per student")
        found[name] = group.strip() or None
    return found


__all__ = ["RETURNS", "Columns", "audit_engine", "differences", "read_columns", "read_groups", "section"]
