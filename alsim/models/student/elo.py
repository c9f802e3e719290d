"""The Elo rating system as a student model."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.jit.compile import kernel
from alsim.models.base import ModelError
from alsim.models.logistic import logistic
from alsim.models.student.base import BaseStudentModel, Students, parameters
from alsim.models.student.items import Items, as_items
from alsim.responses.log import Responses, check_answers
from alsim.types import Codes, Doubles, Longs


class EloModel(BaseStudentModel):
    """Elo ratings of students on each skill: a step towards each answer, whose size falls with their number.

        P = guess + (1 - guess) / (1 + exp(-(rating - difficulty)))
        rating' = rating + a / (1 + b n) (correct - P)

    items       Items, or another value that `as_items` accepts; give all items one skill for one rating per student
    difficulty  (I,) or a number, logits
    a           step at the first answer, logits, > 0
    b           decay of the step with the number n of earlier answers to the skill, at least 0; 0 for a constant step
    guess       (I,) or a number: chance of a correct answer by guessing, in [0, 1)
    start       (K,) or a number: rating before the first answer, logits

    The state is `rating` (n, K) and `count` (n, K). An item with several skills has the mean of their ratings, and
    updates each. The difficulties are fixed; `of_log` estimates them. The mastery of a skill is the mean chance over
    its items. Raises ModelError for invalid parameters.
    Source: Elo (1978), The rating of chessplayers; Pelanek (2016), Applications of the Elo rating system in adaptive
    educational systems, whose uncertainty function is a / (1 + b n).
    """

    kind: ClassVar[str] = "elo"

    def __init__(
        self,
        items: Any,
        difficulty: ArrayLike = 0.0,
        guess: ArrayLike = 0.0,
        start: ArrayLike = 0.0,
        *,
        a: float = 1.0,
        b: float = 0.05,
    ) -> None:
        super().__init__(as_items(items))
        size = (len(self.items),)
        self.difficulty = parameters("difficulty", difficulty, size)
        self.guess = parameters("guess", guess, size, 0, math.nextafter(1, 0))
        self.initial = parameters("start", start, (self.items.num_skills,))
        self.a, self.b = step_parameters(a, b)

    @classmethod
    def of_log(cls, log: Responses, *, a: float = 1.0, b: float = 0.05, guess: float = 0.0) -> Self:
        """Return the model of the items of a log, whose difficulties are estimated in one pass over the responses.

            difficulty' = difficulty + a / (1 + b n) (P - correct), with the number n of earlier answers to the item

        Students and items start at 0, and both are updated with each response, in order of time or, in a log without
        times, of the rows of its source. The other arguments are those of the class. Raises ModelError for invalid
        arguments, and ResponsesError for partial credit.
        """
        check_answers(log, "an Elo model")
        items, (first, decay) = Items.of_log(log), step_parameters(a, b)
        by_guess = float(parameters("guess", guess, (), 0, math.nextafter(1, 0)))
        order = np.argsort(log.row, kind="stable")
        if log.time is not None and not np.isnan(log.time).any():
            order = order[np.argsort(log.time[order], kind="stable")]
        rating, count = np.zeros((log.num_students, items.num_skills)), np.zeros((log.num_students, items.num_skills))
        difficulty, answers = np.zeros((2, len(items)))
        student, item, correct = log.student[order].astype(np.int64), items.codes(log)[order], log.correct[order]
        tables = items.start, items.skill
        _estimate(student, item, correct, *tables, first, decay, by_guess, rating, count, difficulty, answers)
        return cls(items, difficulty, by_guess, a=first, b=decay)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the difficulties, the chances of guessing, and the first ratings."""
        return {"difficulty": self.difficulty, "guess": self.guess, "start": self.initial}

    def options(self) -> dict[str, Any]:
        """Return `a` and `b`."""
        return {"a": self.a, "b": self.b}

    def _start(self, n: int) -> Students:
        """Return the first ratings, and counts of 0."""
        return {"rating": np.tile(self.initial, (n, 1)), "count": np.zeros((n, len(self.initial)), np.int64)}

    def _update(self, students: Students, rows: Longs, items: Longs, correct: Codes) -> None:
        """Move the rating of each skill of the item towards the answer."""
        surprise = correct - self._expected(students["rating"], rows, items)
        for m in range(self.items.has.shape[1]):
            here = self.items.has[items, m]
            place = rows[here], self.items.members[items[here], m]
            students["rating"][place] += self.a / (1.0 + self.b * students["count"][place]) * surprise[here]
            students["count"][place] += 1

    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the expected outcome."""
        return self._expected(students["rating"], np.arange(len(students["rating"]))[:, None], items)

    def _mastery(self, students: Students) -> Doubles:
        """Return the mean chance over the items of each skill; only changed ratings take the chance of their items."""
        rating = students["rating"]

        def chance(rows: Longs, items: Longs) -> Doubles:
            return self._expected(rating, rows, items)

        return self.items.mean_by_changed_skill(self._initial_mastery, rating != self.initial, chance)

    @cached_property
    def _initial_mastery(self) -> Doubles:
        """Mastery of each skill before the first answer, (K,)."""
        return np.asarray(super()._mastery(self._start(1))[0])

    def _expected(self, rating: Doubles, rows: Longs, items: Longs) -> Doubles:
        """Return the chance of a correct answer of some rows, in the common shape of `rows` and `items`."""
        mean = np.zeros(np.broadcast_shapes(rows.shape, items.shape))
        for m in range(self.items.has.shape[1]):
            mean += rating[rows, self.items.members[items, m]] * self.items.share[items, m]
        guess = self.guess[items]
        return np.asarray(guess + (1.0 - guess) * logistic(mean - self.difficulty[items]))


def step_parameters(a: Any, b: Any) -> tuple[float, float]:
    """Return the parameters of the uncertainty function a / (1 + b n). Raises ModelError for invalid ones."""
    first, decay = float(parameters("a", a, (), 0)), float(parameters("b", b, (), 0))
    if first == 0:
        raise ModelError("a must be above 0, the step at the first answer in logits; got 0")
    return first, decay


@kernel
def _estimate(
    student: Longs,
    item: Longs,
    correct: Codes,
    start: Longs,
    skill: Longs,
    a: float,
    b: float,
    guess: float,
    rating: Doubles,
    count: Doubles,
    difficulty: Doubles,
    answers: Doubles,
) -> None:
    """Update ratings (S, K) and difficulties (I,) with each response (R,) in order; the counts are 0 at first.

    start, skill  item i has the skills skill[start[i]:start[i + 1]]
    """
    for r in range(len(student)):
        s, i, ability = student[r], item[r], 0.0
        for x in range(start[i], start[i + 1]):
            ability += rating[s, skill[x]]
        ability /= start[i + 1] - start[i]
        expected = guess + (1.0 - guess) / (1.0 + np.exp(difficulty[i] - ability))
        surprise = float(correct[r]) - expected
        for x in range(start[i], start[i + 1]):
            rating[s, skill[x]] += a / (1.0 + b * count[s, skill[x]]) * surprise
            count[s, skill[x]] += 1.0
        difficulty[i] -= a / (1.0 + b * answers[i]) * surprise
        answers[i] += 1.0
