"""Half-life regression as a student model."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.hlr.memory import WEIGHTS, checked_weights, half_life, recall
from alsim.models.hlr.result import HLRFit
from alsim.models.practice import PRIOR
from alsim.models.student.base import Students, parameters
from alsim.models.student.items import as_items
from alsim.models.student.memory import MemoryModel
from alsim.responses.log import codes_of
from alsim.types import Bools, Doubles


class HLRModel(MemoryModel):
    """Half-life regression of many students: the half-life of a skill follows from the numbers of answers to it.

        R = 2^(-t / h),  h = 2^(theta_right sqrt(1 + right) + theta_wrong sqrt(1 + wrong) + theta_0) days

    items      Items, or another value that `as_items` accepts
    weights    theta_right, theta_wrong and theta_0: (3,), or (K, 3) for the skills. The defaults are assumptions
    prior, guess, p_content
               see `MemoryModel`

    t is the time since the last practice; h is held in [15 minutes, 274 days]. The state is that of `MemoryModel`, and
    `right` and `wrong` (n, K), where a content counts as `p_content` correct answers.
    Raises ModelError for invalid parameters.
    Source: Settles & Meeder (2016), A trainable spaced repetition model for language learning, ACL.
    """

    kind: ClassVar[str] = "hlr"

    def __init__(
        self,
        items: Any,
        weights: ArrayLike = WEIGHTS,
        prior: ArrayLike = PRIOR,
        guess: ArrayLike = 0.0,
        *,
        p_content: float = 1.0,
    ) -> None:
        super().__init__(items, prior, guess, p_content)
        shape, theta = (self.items.num_skills, 3), checked_weights(weights)
        self.weights = parameters("weights", np.tile(theta, (shape[0], 1)) if theta.ndim == 1 else theta, shape)

    @classmethod
    def of_fit(cls, fit: HLRFit, items: Any = None) -> Self:
        """Return the model with the weights of a fit.

        items  as for the class; by default the skills of the fit. An unknown skill has the intercept 0 and the prior
               `fit.pooled_prior`
        """
        table = as_items(fit.skills if items is None else items)
        known = codes_of(table.skills, fit.skills)
        return cls(table, fit.skill_weights()[known], fit.priors()[known], fit.guess)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return weights, prior and guess."""
        return {"weights": self.weights, **super().arrays()}

    def _memory(self, n: int) -> Students:
        """Return counts of 0."""
        shape = n, self.items.num_skills
        return {"right": np.zeros(shape), "wrong": np.zeros(shape)}

    def _practised(self, students: Students, place: Any) -> Bools:
        """Return whether there are answers or contents."""
        return np.asarray(students["right"][place] + students["wrong"][place] > 0)

    def _recalled(self, students: Students, place: Any, days: Doubles) -> Doubles:
        """Return 2^(-t / h)."""
        return recall(days, half_life(students["right"][place], students["wrong"][place], self.weights[place[1]]))

    def _practise(self, students: Students, place: Any, days: Doubles, correct: Any, weight: float) -> None:
        """Count the answers."""
        students["right"][place] += weight * correct
        students["wrong"][place] += weight * (1 - correct)


__all__ = ["HLRModel"]
