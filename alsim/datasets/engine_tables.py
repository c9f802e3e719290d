"""Tables of the log of an engine: events, interactions and sessions of some students."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from alsim.datasets.engine_schema import ASSIGNED, COLUMNS, NAME, log_schema
from alsim.datasets.tables import observation_column
from alsim.engine import events as kinds
from alsim.engine.engine import AdaptiveEngine
from alsim.engine.histories import (
    Entry,
    Interactions,
    Part,
    Paths,
    interactions,
    mastery_after,
    mastery_paths,
    session_numbers,
)
from alsim.types import Bools, Doubles, Longs, short_repr

Rows = dict[str, list[Any]]
Label = dict[str, str | None]
NO_LABEL: Label = dict.fromkeys(kinds.ASSIGNED)
INTERACTIONS = (kinds.ANSWERED, kinds.STUDIED)
"""Kinds of entries that are interactions."""
DECISION = ("propensity", "decision", "rank", "candidates")
"""Columns about the decision that showed an item."""


@short_repr
class Sessions(NamedTuple):
    """Sessions of some students. E entries of their logs, S sessions."""

    learner: Longs  # (E,) number of the student
    student: Longs  # (E,) row of the student in the part
    session: Longs  # (E,) number of the session of the student
    time: Doubles  # (E,) seconds since 1970
    is_step: Bools  # (E,) True for interactions
    step: Longs  # (E,) number of the interaction in the session, or of the next one, from 1
    block: Longs  # (E,) number of the session in the part
    start: Longs  # (S,) first entry

    @classmethod
    def of(cls, part: Part, flat: list[Entry], gap: float) -> Sessions:
        """Return the sessions of some students; `flat` has their entries, student by student."""
        student = np.repeat(np.arange(len(part.names)), [len(entries) for entries in part.entries])
        time = np.array([entry["time"] for entry in flat], np.float64)
        session = session_numbers(student, time, gap)
        is_first = np.append(True, (np.diff(student) != 0) | (np.diff(session) != 0))[: len(student)]
        start, block = np.flatnonzero(is_first), np.cumsum(is_first) - 1
        is_step = np.array([entry["event"] in INTERACTIONS for entry in flat], np.bool_)
        before: Longs = np.cumsum(is_step) - is_step
        step = np.asarray(before - before[start][block] + 1)
        return cls(student + part.first, student, session, time, is_step, step, block, start)

    @property
    def end(self) -> Longs:
        """Last entry of each session, (S,)."""
        return np.append(self.start[1:], len(self.student))[: len(self.start)] - 1


def tables_of_part(engine: AdaptiveEngine, part: Part, gap: float, *, names: bool) -> dict[str, pa.Table]:
    """Return the tables of some students; the arguments are those of `export_log`."""
    found = interactions(engine.catalogue, part.entries)
    paths = mastery_paths(engine.model, engine.model.new_students(part.names), found)
    flat = [entry for entries in part.entries for entry in entries]
    sessions = Sessions.of(part, flat, gap)
    labels = _labels(flat, sessions.student)
    events, decided = _events(engine, flat, sessions, labels)
    mastery, row = mastery_after(paths, part.entries)
    episodes = _episodes(found, sessions, mastery[row[sessions.end]], engine.threshold)
    transitions = _transitions(found, paths, sessions, episodes["terminated"]) | decided
    transitions |= _label_columns([labels[e] for e in np.flatnonzero(sessions.is_step).tolist()])
    episodes |= _label_columns([labels[e] for e in sessions.end.tolist()])
    block = sessions.block[sessions.is_step]
    episodes["cumulative_reward"] = np.bincount(block, transitions["reward"], len(sessions.start))
    made = {"transitions": transitions, "events": events, "episodes": episodes}
    size = len(engine.catalogue.skills)
    return {name: _table(columns, log_schema(name, size, names), part) for name, columns in made.items()}


def _labels(flat: list[Entry], student: Longs) -> list[Label]:
    """Return experiment, arm and class of the last recommendation up to each entry; quizzes are none."""
    found: list[Label] = []
    label, previous = NO_LABEL, -1
    for entry, own in zip(flat, student.tolist(), strict=True):
        if own != previous:
            label, previous = NO_LABEL, own
        if entry["event"] == kinds.SHOWN and "quiz" not in entry:
            label = {key: entry.get(key) for key in kinds.ASSIGNED}
        found.append(label)
    return found


def _label_columns(labels: list[Label]) -> Rows:
    """Return experiments, arms and classes as columns."""
    return {column.name: [label[column.name] for label in labels] for column in ASSIGNED}


def _events(engine: AdaptiveEngine, flat: list[Entry], sessions: Sessions, labels: list[Label]) -> tuple[Rows, Rows]:
    """Return the columns of the events, and those about the decision that showed the item of each interaction."""
    columns: Rows = {column.name: [] for column in COLUMNS["events"]}
    decided: Rows = {name: [] for name in DECISION}
    shown: dict[str, dict[str, Any]] = {}
    index, origin, previous = engine.catalogue.index, sessions.time[sessions.start], -1
    for e, entry in enumerate(flat):
        if sessions.student[e] != previous:
            shown, previous = {}, int(sessions.student[e])
        common = {
            "learner_id": int(sessions.learner[e]),
            "episode": int(sessions.session[e]),
            "step": int(sessions.step[e]),
            "seconds": entry["time"] - float(origin[sessions.block[e]]),
            "response_time": entry.get("seconds"),
        }
        is_step = bool(sessions.is_step[e])
        source = shown.pop(entry["item"], {}) if is_step else {}
        for event in kinds.expanded(entry):
            row = {**event, **common, "item": index.get(event.get("item", ""), -1), "item_id": event.get("item")}
            row |= {"ready": _ready(engine, event), "placed": _placed(engine, event), **labels[e]}
            if is_step:
                row["propensity"] = source.get("propensity")
            if (credit := event.get("correct")) is not None:
                row |= {"correct": credit >= 0.5, "credit": float(credit)}
            for name, listed in columns.items():
                listed.append(row.get(name))
            if entry["event"] == kinds.SHOWN:
                shown[event["item"]] = event
        if is_step:
            for name, listed in decided.items():
                listed.append(source.get(name))
    return columns, decided


def _ready(engine: AdaptiveEngine, event: Entry) -> list[int] | None:
    """Return the skills that a student was ready for; None if the event has none, or is of another catalogue."""
    if event.get("catalogue") != engine.catalogue.digest:
        return None
    return list(np.flatnonzero(engine.unpacked(event["ready"])).tolist())


def _placed(engine: AdaptiveEngine, event: Entry) -> list[float] | None:
    """Return the mastery of each skill by a placement, NaN for skills without one; None for other events."""
    if event["event"] != kinds.PLACED:
        return None
    return [float(event["mastery"].get(skill, np.nan)) for skill in engine.catalogue.skills]


def _transitions(found: Interactions, paths: Paths, sessions: Sessions, all_mastered: Bools) -> dict[str, Any]:
    """Return the columns of the interactions, (M,), without those about decisions.

    all_mastered  (S,) True for sessions after which every skill is mastered
    """
    is_step = sessions.is_step
    block = sessions.block[is_step]
    is_last = np.append(np.diff(block) != 0, True)[: len(block)]
    return {
        "obs": paths.before.astype(np.float32),
        "action": found.item,
        "reward": (paths.following - paths.before).sum(axis=1),
        "terminated": is_last & all_mastered[block],
        "truncated": is_last & ~all_mastered[block],
        "learner_id": sessions.learner[is_step],
        "episode": sessions.session[is_step],
        "step": sessions.step[is_step],
        "time": found.time,
        "correct": np.ma.masked_array(found.score >= 0.5, found.score < 0),
        "credit": np.ma.masked_less(found.score, 0),
        "chance": np.ma.masked_invalid(found.chance),
        "response_time": np.ma.masked_invalid(found.seconds),
    }


def _episodes(found: Interactions, sessions: Sessions, final: Doubles, threshold: float) -> dict[str, Any]:
    """Return the columns of the sessions, (S,), without the sum of rewards.

    final  (S, K) mastery after the last event of each session
    """
    block, num, start = sessions.block[sessions.is_step], len(sessions.start), sessions.start
    steps = np.bincount(block, minlength=num)
    asked = np.bincount(block, found.score >= 0, num)
    right = np.bincount(block, np.maximum(found.score, 0), num)
    all_mastered = (final >= threshold).all(axis=1)
    return {
        "learner_id": sessions.learner[start],
        "episode": sessions.session[start],
        "start": sessions.time[start],
        "end": sessions.time[sessions.end],
        "total_steps": steps,
        "content_count": steps - asked.astype(np.int64),
        "question_accuracy": np.ma.masked_array(right / np.maximum(asked, 1), asked == 0),
        "terminated": all_mastered,
        "truncated": ~all_mastered,
        "final_obs": final.astype(np.float32),
    }


def _table(columns: dict[str, Any], schema: pa.Schema, part: Part) -> pa.Table:
    """Return columns as a table."""
    if NAME.name in schema.names:
        codes = pa.array((np.asarray(columns["learner_id"]) - part.first).astype(np.int32))
        columns = {**columns, NAME.name: pa.DictionaryArray.from_arrays(codes, pa.array(map(printable, part.names)))}
    return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in schema], schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    """Return values as an Arrow array of a type; None and masked values are null."""
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_fixed_size_list(kind):
        return observation_column(values)
    if pa.types.is_dictionary(kind):
        return pa.array([None if v is None else printable(v) for v in values], pa.string()).dictionary_encode()
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, mask=np.ma.getmaskarray(values)).cast(kind)
    return pa.array(values, from_pandas=False).cast(kind) if isinstance(values, np.ndarray) else pa.array(values, kind)


def printable(name: str) -> str:
    """Return a name as UTF-8 can have it: surrogates, which are no characters, become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


__all__ = ["tables_of_part"]
