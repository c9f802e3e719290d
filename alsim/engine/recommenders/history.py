"""The history of students as policies see it: observations, answers and times, made again from the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from alsim.config.settings import ImpactByModality, RewardConfig
from alsim.dynamics.standard import Standard
from alsim.engine import events
from alsim.engine.catalogue import Catalogue
from alsim.engine.errors import EngineError
from alsim.engine.recommenders.base import Situation
from alsim.engine.recommenders.cells import Cells
from alsim.mdp.actions import split_actions
from alsim.models.student.base import NOT_ANSWERED, Students
from alsim.policies.base import Transitions, View
from alsim.types import DIFFICULTIES, MODALITIES, Bools, Doubles, Floats, Longs, short_repr

UNKNOWN_SECONDS = 30.0
"""Response time of answers without one: the mean of clause S2.2."""
LONGEST_SECONDS = 120.0
"""Response time that is observed as 1 (clause S8.1)."""
HARD = DIFFICULTIES.index("Hard")
IMPACTS = np.array([getattr(ImpactByModality(), word) for word in MODALITIES])
"""Change of frustration by each modality (clause S2.3)."""
PER_HOUR = 3600.0
COLUMNS = ("item", "score", "seconds", "time", "propensity")


@short_repr
class Logs(NamedTuple):
    """Interactions of n students, up to T each, oldest first; entries after the last are undefined."""

    length: Longs  # (n,) number of interactions
    item: Longs  # (n, T) number of the item in the catalogue
    score: Doubles  # (n, T) answer in [0, 1], -1 for a content
    seconds: Doubles  # (n, T) response time, NaN for a content
    time: Doubles  # (n, T) seconds since 1970
    propensity: Doubles  # (n, T) probability of the action, 1 for an item that was not recommended
    placed: list[dict[int, dict[str, float]]]  # by student: mastery after a quiz, by the number of interactions before

    @classmethod
    def read(cls, situation: Situation, catalogue: Catalogue, policy: str) -> Logs:
        """Return the logs of students; `policy` is the name of the policy whose scores are probabilities of actions."""
        placed: list[dict[int, dict[str, float]]] = [{} for _ in situation.students]
        rows = [_rows(situation.log(i), catalogue, policy, placed[i]) for i in range(len(situation.students))]
        length = np.array([len(row) for row in rows], np.int64)
        table = np.zeros((len(rows), int(length.max(initial=0)), len(COLUMNS)))
        for i, row in enumerate(rows):
            if row:
                table[i, : len(row)] = row
        item, score, seconds, time, propensity = (np.ascontiguousarray(table[:, :, c]) for c in range(len(COLUMNS)))
        return cls(length, item.astype(np.int64), score, seconds, time, propensity, placed)


def _rows(
    entries: list[dict[str, Any]], catalogue: Catalogue, policy: str, placed: dict[int, dict[str, float]]
) -> list[tuple[float, ...]]:
    """Return the columns of the interactions in a log; those with items that the catalogue lacks are left out.

    placed  written: mastery that a quiz has found, by the number of interactions before
    """
    rows: list[tuple[float, ...]] = []
    shown: dict[str, float] = {}
    for entry in entries:
        if entry["event"] == events.SHOWN:
            values = entry["scores"] if entry["policy"] == policy else entry["propensities"]
            shown.update(zip(entry["items"], values, strict=True))
            continue
        if entry["event"] == events.PLACED:
            known = placed.setdefault(len(rows), {})
            known |= {skill: max(p, known.get(skill, 0.0)) for skill, p in entry["mastery"].items()}
            continue
        item = catalogue.index.get(entry["item"])
        odds = shown.pop(entry["item"], 1.0)
        if item is None:
            continue
        is_content, seconds = entry["event"] == events.STUDIED, entry.get("seconds")
        score = NOT_ANSWERED if is_content else entry["correct"]
        taken = np.nan if is_content else UNKNOWN_SECONDS if seconds is None else seconds
        rows.append((item, score, taken, entry["time"], odds))
    return rows


class History:
    """Interactions of n students, step by step, with the observations before and after each.

    situation  students
    logs       their interactions
    cells      cells of the catalogue
    """

    def __init__(self, situation: Situation, logs: Logs, cells: Cells) -> None:
        if situation.model is None:
            raise EngineError("a policy of alsim.policies needs the student model of the engine: pass Situation.model")
        self._situation, self._logs, self._cells, self._model = situation, logs, cells, situation.model
        self.num_los = cells.num_skills
        self.actions = cells.of[logs.item]
        self._asks, self._lo, self._level = split_actions(self.actions, self.num_los)
        self._right = (logs.score >= 0.5) & self._asks
        self.length = logs.length
        """Number of interactions, (n,)."""
        n = len(logs.length)
        self.frustration, self.last_seconds = np.zeros(n), np.zeros(n, np.float32)
        self._now = np.array(situation.now, np.float64)
        self._start = logs.time[:, 0] if logs.time.shape[1] else self._now

    def steps(self) -> Iterator[tuple[Longs, Transitions]]:
        """Yield the students with a next interaction, and these interactions; update frustration and times."""
        students, mastery = self._start_of_model()
        for t in range(self.actions.shape[1]):
            active = self._logs.length > t
            self._model.advance(students, self._logs.time[:, t], active)
            has_changed = self._place(students, t) or self._model.has_clock
            mastery = self._model.mastery(students) if has_changed else mastery
            before, observed = mastery, self.observation(mastery)
            self._update(students, t, active)
            mastery = self._model.mastery(students)
            rewards = self._advance(t, active, before, mastery)
            rows = np.flatnonzero(active)
            yield rows, self._transitions(t, rows, observed, self.observation(mastery), rewards)

    def finish(self) -> None:
        """Update frustration and times by all interactions, without following mastery where nothing depends on it.

        Frustration depends on the mastery before a Hard question that was answered wrongly (clause S4.3).
        """
        within = np.arange(self.actions.shape[1]) < self._logs.length[:, None]
        is_needed = (within & self._asks & (self._level == HARD) & ~self._right).any(axis=0)
        last = int(np.flatnonzero(is_needed).max(initial=-1))
        students, mastery = self._start_of_model()
        for t in range(self.actions.shape[1]):
            active = self._logs.length > t
            if t <= last:
                self._model.advance(students, self._logs.time[:, t], active)
                self._place(students, t)
            mastery = self._model.mastery(students) if is_needed[t] else mastery
            self._advance(t, active, mastery, mastery)
            if t < last:
                self._update(students, t, active)

    def _start_of_model(self) -> tuple[Students, Doubles]:
        """Return the states of the student model before the first interaction, and the mastery (n, K)."""
        students = self._model.new_students(self._situation.students)
        return students, self._model.mastery(students)

    def observation(self, mastery: Doubles) -> Floats:
        """Return observations (n, K + 2) of kind "mastery" (clause S8.1)."""
        time = np.minimum(self.last_seconds / LONGEST_SECONDS, 1.0)
        return np.column_stack([mastery, self.frustration, time]).astype(np.float32)

    def view(self, rows: Longs, mask: Bools) -> View:
        """Return the view of students with the same number of interactions; mask (len(rows), A)."""
        logs, situation = self._logs, self._situation
        size = int(logs.length[rows[0]])
        clock = self._now[rows] - self._start[rows] if size else np.zeros(len(rows))
        columns: dict[str, Any] = {
            "actions": self.actions,
            "items": self._cells.bank_index[logs.item].astype(np.int32),
            "correct": np.where(self._asks, self._right, NOT_ANSWERED).astype(np.int8),
            "seconds": logs.seconds.astype(np.float32),
        }
        lists: dict[str, Any] = {name: [values[rows, t] for t in range(size)] for name, values in columns.items()}
        observation = self.observation(situation.mastery)[rows]
        for array in (observation, mask):
            array.flags.writeable = False
        return View(
            observation=observation,
            kind="mastery",
            num_los=self.num_los,
            active=np.ones(len(rows), np.bool_),
            last_seconds=self.last_seconds[rows],
            clock=clock / PER_HOUR,
            mask=mask,
            **lists,
        )

    def _place(self, students: Students, t: int) -> bool:
        """Raise mastery as quizzes after t interactions have found; return whether a state has changed."""
        rows = [i for i, placed in enumerate(self._logs.placed) if t in placed]
        for i in rows:
            own = {name: values[i : i + 1] for name, values in students.items()}
            self._model.raise_mastery(own, self._logs.placed[i][t])
            for name, values in own.items():
                students[name][i] = values[0]
        return bool(rows)

    def _update(self, students: Students, t: int, active: Bools) -> None:
        """Update the state of the student model with one interaction of each active student."""
        model, logs = self._model, self._logs
        items = model.items[logs.item[:, t]]
        score = np.array([model.read_score(value) for value in logs.score[:, t].tolist()])
        model.model.update(students, items, score, active & (items >= 0))

    def _advance(self, t: int, active: Bools, before: Doubles, after: Doubles) -> Doubles:
        """Update frustration (S4.2, S4.3, S5.2) and response time (S4.4); return the rewards (S6.1, S6.2), (n,)."""
        p, weights = Standard(), RewardConfig()
        rows = np.arange(len(active))
        asks, right, lo, level = self._asks[:, t], self._right[:, t], self._lo[:, t], self._level[:, t]
        is_harder = (level == HARD) & (before[rows, lo] < p.hard_below)
        wrong = p.frustration_rise + np.where(is_harder, p.hard_rise, 0.0)
        impact = np.where(asks, 0.0, IMPACTS[np.where(asks, 0, level)])
        change = np.where(asks, np.where(right, -p.frustration_relief, wrong), impact)
        self.frustration = np.where(active, np.clip(self.frustration + change, 0.0, 1.0), self.frustration)
        self.last_seconds = np.where(active & asks, self._logs.seconds[:, t], self.last_seconds).astype(np.float32)
        gain = after[rows, lo] - before[rows, lo]
        asked = weights.correctness * right + weights.mastery_gain * gain
        asked = asked - weights.frustration_penalty * self.frustration
        studied = weights.post_content_gain * gain - weights.engagement * impact
        return np.asarray(np.where(asks, asked, studied))

    def _transitions(self, t: int, rows: Longs, before: Floats, after: Floats, rewards: Doubles) -> Transitions:
        """Return one interaction of some students."""
        logs, asks = self._logs, self._asks[rows, t]
        following = np.minimum(t + 1, logs.time.shape[1] - 1)
        # The time of an event is that of its interaction, which begins where the clock after the one before stands.
        later = np.where(t + 1 < logs.length[rows], logs.time[rows, following], self._now[rows])
        columns: dict[str, Any] = {
            "observation": before[rows],
            "next_observation": after[rows],
            "actions": self.actions[rows, t],
            "propensities": logs.propensity[rows, t],
            "items": self._cells.bank_index[logs.item[rows, t]].astype(np.int32),
            "correct": np.where(asks, self._right[rows, t], NOT_ANSWERED).astype(np.int8),
            "seconds": logs.seconds[rows, t].astype(np.float32),
            "rewards": rewards[rows].astype(np.float32),
            "active": np.ones(len(rows), np.bool_),
            "ended": np.zeros(len(rows), np.bool_),
            "last_seconds": self.last_seconds[rows],
            "clock": (later - self._start[rows]) / PER_HOUR,
        }
        for array in columns.values():
            array.flags.writeable = False
        return Transitions(kind="mastery", num_los=self.num_los, **columns)


__all__ = ["History", "Logs"]
