"""Student models of memory: recall of each skill decays with the time since its last practice."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.hlr.memory import held_recall
from alsim.models.practice import HOURS_PER_DAY
from alsim.models.student.base import BaseStudentModel, Students, checked_active, parameters
from alsim.models.student.items import as_items
from alsim.types import Bools, Codes, Doubles, Longs


class MemoryModel(BaseStudentModel):
    """Base class of the student models of memory: clocks, contents, and the chance of a correct answer.

        P(correct) = guess + (1 - guess) R, with R the mean recall over the skills of the item

    items      Items, a number or list of skills, or {item: skill or skills}
    prior      recall of a skill before its first practice, in [0, 1]: a number, or (K,)
    guess      probability of a correct answer without recall, in [0, 1]: a number, or (I,) for the items
    p_content  weight of an item that is not answered, as a content, in [0, 1]: 1 for the effect of a correct answer

    The state has the clock of each student, `hours` (n,), and the time of the last practice of each skill, `last`
    (n, K), hours. The clock is 0 at first, and only `advance` changes it. Mastery is recall at the clock. In chances,
    recall R is 0.0001 + 0.9998 R, because no forecast is certain.
    Raises ModelError for invalid parameters.
    """

    def __init__(self, items: Any, prior: ArrayLike, guess: ArrayLike, p_content: float) -> None:
        super().__init__(as_items(items))
        self.prior = parameters("prior", prior, (self.items.num_skills,), 0, 1)
        self.guess = parameters("guess", guess, (len(self.items),), 0, 1)
        self.p_content = float(parameters("p_content", p_content, (), 0, 1))

    # ── what a model of memory defines ──────────────────────────────────────────────────────────

    @abstractmethod
    def _memory(self, n: int) -> Students:
        """Return the arrays (n, K) of the memory of n students without practice."""

    @abstractmethod
    def _practised(self, students: Students, place: Any) -> Bools:
        """Return whether skills were practised; `place` is an index of arrays (n, K)."""

    @abstractmethod
    def _recalled(self, students: Students, place: Any, days: Doubles) -> Doubles:
        """Return the recall of skills that were practised some days ago; other entries are not read."""

    @abstractmethod
    def _practise(self, students: Students, place: Any, days: Doubles, correct: Any, weight: float) -> None:
        """Change the memory of skills by answers 0 or 1; `weight` is that of a content, 1 for an answer."""

    # ── what a user calls ───────────────────────────────────────────────────────────────────────

    def advance(self, students: Students, hours: ArrayLike, active: ArrayLike | None = None) -> None:
        """Set the clock of each student, in place.

        students  state of n students
        hours     (n,) hours since any origin, which is the same in all calls; NaN: the clock stays
        active    (n,) bool, True for the students whose clock is set; None for all

        Raises ModelError for a clock that would run backwards, and for other invalid arguments; the state is then
        unchanged.
        """
        n = self._count(students)
        now = np.asarray(hours)
        if now.shape not in ((), (n,)) or now.dtype.kind not in "iuf":
            raise ModelError(f"hours must be {n} numbers, one per student; got {now.dtype} of shape {now.shape}")
        clock, now = students["hours"], np.broadcast_to(now.astype(np.float64), (n,))
        moves = checked_active(active, n) & ~np.isnan(now)
        invalid = moves & ~((now >= clock) & (now < np.inf))
        if invalid.any():
            i = int(np.argmax(invalid))
            raise ModelError(
                f"times run backwards: the clock of student {i} is at {clock[i]:.10g} hours; got {now[i]:.10g}: "
                "pass finite hours in the order of time, since one origin"
            )
        clock[moves] = now[moves]

    def study(self, students: Students, rows: Longs, skills: Longs) -> None:
        """Count a content for some skills: of student rows[x], the skill skills[x], (M,), each pair at most once."""
        if self.p_content > 0:
            self._apply(students, rows, skills, np.ones(len(rows), np.int8), self.p_content)

    def practised(self, students: Students) -> Bools:
        """Return the skills that each student has practised, (n, K). Raises ModelError for an invalid state."""
        self._count(students)
        return self._practised(students, ...)

    # ── what the base class of student models calls ─────────────────────────────────────────────

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name."""
        return {"prior": self.prior, "guess": self.guess}

    def options(self) -> dict[str, Any]:
        """Return `p_content`."""
        return {"p_content": self.p_content}

    def _start(self, n: int) -> Students:
        """Return the memory of skills without practice, and clocks of 0."""
        return {**self._memory(n), "last": np.zeros((n, self.items.num_skills)), "hours": np.zeros(n)}

    def _update(self, students: Students, rows: Longs, items: Longs, correct: Codes) -> None:
        """Practise each skill of the items."""
        for m in range(self.items.has.shape[1]):
            here = self.items.has[items, m]
            self._apply(students, rows[here], self.items.members[items[here], m], correct[here], 1.0)

    def _study(self, students: Students, rows: Longs, items: Longs) -> None:
        """Count a content for each skill of the items."""
        for m in range(self.items.has.shape[1]):
            here = self.items.has[items, m]
            self.study(students, rows[here], self.items.members[items[here], m])

    def _apply(self, students: Students, rows: Longs, skills: Longs, correct: Codes, weight: float) -> None:
        """Practise some skills at the clock."""
        place, now = (rows, skills), students["hours"][rows]
        self._practise(students, place, (now - students["last"][place]) / HOURS_PER_DAY, correct, weight)
        students["last"][place] = now

    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the chance from the mean recall over the skills of an item."""
        lanes = np.arange(len(students["hours"]))[:, None]
        held = self._mastery(students) if items.shape[1] > self.items.num_skills else None
        total = np.zeros(np.broadcast_shapes(lanes.shape, items.shape))
        for m in range(self.items.has.shape[1]):
            place = lanes, self.items.members[items, m]
            found = self._recall(students, place) if held is None else held[place]
            total += held_recall(found) * self.items.has[items, m]
        mean, guess = total / self.items.sizes[items], self.guess[items]
        return np.asarray(guess + (1.0 - guess) * mean)

    def _mastery(self, students: Students) -> Doubles:
        """Return the recall of each skill."""
        n, skills = len(students["hours"]), self.items.num_skills
        return self._recall(students, (np.arange(n)[:, None], np.arange(skills)[None]))

    def _recall(self, students: Students, place: tuple[Longs, Longs]) -> Doubles:
        """Return the recall of some skills, in the common shape of rows and skills."""
        days = (students["hours"][place[0]] - students["last"][place]) / HOURS_PER_DAY
        practised = self._practised(students, place)
        found = self._recalled(students, place, np.where(practised, days, 0.0))
        return np.where(practised, found, self.prior[place[1]])


__all__ = ["MemoryModel"]
