"""The Glicko rating system as a student model: Elo ratings with a variance."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.logistic import logistic
from alsim.models.student.base import BaseStudentModel, Students, parameters
from alsim.models.student.items import as_items
from alsim.types import Codes, Doubles, Longs

POINTS = 400 / math.log(10)
"""Points of a chess rating per logit."""

START_SD = 350 / POINTS
"""Standard deviation of a new student's rating, logits: 350 points, as in Glicko."""


def attenuation(variance: Doubles) -> Doubles:
    """Return g = 1 / sqrt(1 + 3 variance / pi^2), the factor by which uncertainty shrinks a difference of ratings.

    variance  logits^2
    """
    return np.asarray(1.0 / np.sqrt(1.0 + 3.0 * variance / math.pi**2))


def rate(
    mean: Doubles, variance: Doubles, opponent: Doubles, opponent_variance: Doubles, outcome: Doubles
) -> tuple[Doubles, Doubles]:
    """Return mean and variance (n,) of ratings after the J games of one rating period.

        g_j = g(opponent_variance_j)                 E_j = 1 / (1 + exp(-g_j (mean - opponent_j)))
        1 / variance' = 1 / variance + sum_j g_j^2 E_j (1 - E_j)
        mean' = mean + variance' sum_j g_j (outcome_j - E_j)

    mean, variance               (n,) ratings before the period, logits and logits^2
    opponent, opponent_variance  (n, J) ratings of the opponents, or difficulties of the items
    outcome                      (n, J) results, in [0, 1]

    A rating in points is a rating in logits times 400 / log(10), 173.7.
    Source: Glickman (1999), Parameter estimation in large dynamic paired comparison experiments; the Glicko system.
    """
    precision, pull = 1.0 / variance, np.zeros(len(mean))
    for j in range(opponent.shape[1]):
        g = attenuation(opponent_variance[:, j])
        expected = logistic(g * (mean - opponent[:, j]))
        precision = precision + g * g * (expected * (1.0 - expected))
        pull += g * (outcome[:, j] - expected)
    after = 1.0 / precision
    return mean + after * pull, after


class GlickoModel(BaseStudentModel):
    """Glicko ratings of students on each skill: a mean and a variance, updated by one answer at a time.

    items          Items with one skill each, or another value that `as_items` accepts
    difficulty     (I,) or a number, logits
    difficulty_sd  (I,) or a number: standard deviation of the difficulties, logits; 0 for known ones
    start          (K,) or a number: mean before the first answer, logits
    start_sd       (K,) or a number: standard deviation before the first answer, logits; 350 points by default
    drift          standard deviation that is added before each answer to the skill, logits, as learners change; the
                   variance never exceeds that at the start

    The state is `rating` and `variance` (n, K), logits and logits^2. The chance is 1 / (1 + exp(-g (rating -
    difficulty))), where g allows for the variances of both. The mastery of a skill is the mean chance over its items.
    Raises ModelError for invalid parameters, and for items with several skills.
    Source: see `rate`, which computes the update.
    """

    kind: ClassVar[str] = "glicko"

    def __init__(
        self,
        items: Any,
        difficulty: ArrayLike = 0.0,
        difficulty_sd: ArrayLike = 0.0,
        start: ArrayLike = 0.0,
        start_sd: ArrayLike = START_SD,
        *,
        drift: float = 0.0,
    ) -> None:
        super().__init__(as_items(items))
        if self.items.sizes.max() > 1:
            name = str(self.items.names[int(np.argmax(self.items.sizes))])
            raise ModelError(f"a Glicko model needs items with one skill each; item {name!r} has several: use EloModel")
        size, skills = (len(self.items),), (self.items.num_skills,)
        self.difficulty = parameters("difficulty", difficulty, size)
        self.difficulty_sd = parameters("difficulty_sd", difficulty_sd, size, 0, 1e6)
        self.initial = parameters("start", start, skills)
        self.initial_sd = parameters("start_sd", start_sd, skills, 1e-6, 1e6)
        self.drift = float(parameters("drift", drift, (), 0, 1e6))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the difficulties and the first ratings, with their standard deviations."""
        return {
            "difficulty": self.difficulty,
            "difficulty_sd": self.difficulty_sd,
            "start": self.initial,
            "start_sd": self.initial_sd,
        }

    def options(self) -> dict[str, Any]:
        """Return `drift`."""
        return {"drift": self.drift}

    def _start(self, n: int) -> Students:
        """Return the first ratings and their variances."""
        return {"rating": np.tile(self.initial, (n, 1)), "variance": np.tile(self.initial_sd**2, (n, 1))}

    def _update(self, students: Students, rows: Longs, items: Longs, correct: Codes) -> None:
        """Rate the answer as a rating period of one game."""
        place = rows, self.items.skill[items]
        variance = students["variance"][place]
        variance = np.maximum(variance, np.minimum(variance + self.drift**2, self.initial_sd[place[1]] ** 2))
        students["rating"][place], students["variance"][place] = rate(
            students["rating"][place],
            variance,
            self.difficulty[items][:, None],
            (self.difficulty_sd[items] ** 2)[:, None],
            correct[:, None].astype(np.float64),
        )

    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the expected outcome, given the variances of the rating and of the difficulty."""
        return self._expected(students, np.arange(len(students["rating"]))[:, None], items)

    def _mastery(self, students: Students) -> Doubles:
        """Return the mean chance over the items of each skill; only changed ratings take the chance of their items."""
        changed = (students["rating"] != self.initial) | (students["variance"] != self.initial_sd**2)
        return self.items.mean_by_changed_skill(
            self._initial_mastery, changed, lambda rows, items: self._expected(students, rows, items)
        )

    @cached_property
    def _initial_mastery(self) -> Doubles:
        """Mastery of each skill before the first answer, (K,)."""
        return np.asarray(super()._mastery(self._start(1))[0])

    def _expected(self, students: Students, rows: Longs, items: Longs) -> Doubles:
        """Return the chance of a correct answer of some rows, in the common shape of `rows` and `items`."""
        place = rows, self.items.skill[items]
        g = attenuation(students["variance"][place] + self.difficulty_sd[items] ** 2)
        return logistic(g * (students["rating"][place] - self.difficulty[items]))
