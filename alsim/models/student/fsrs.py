"""The memory state of FSRS-6 as a student model."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.fsrs import AGAIN, GOOD, WEIGHTS, checked_weights, retrievability, review
from alsim.models.practice import PRIOR
from alsim.models.student.base import Students
from alsim.models.student.memory import MemoryModel
from alsim.types import Bools, Doubles


class FSRSModel(MemoryModel):
    """FSRS-6 of many students: each skill is a card, and each answer to it a review.

    items      Items, or another value that `as_items` accepts
    weights    (21,) w0 to w20; by default the published ones
    prior, guess, p_content
               see `MemoryModel`

    A wrong answer is a review with the rating 1, a correct one with 3, because the model does not know the response
    time. A content has the rating 3, and changes stability by the share `p_content`. The state is that of
    `MemoryModel`, and `stability`, days, and `difficulty` (n, K); both are 0 before the first review.
    Raises ModelError for invalid parameters.
    Source: Open Spaced Repetition (2025), The algorithm, FSRS-6; see `alsim.models.fsrs.review`.
    """

    kind: ClassVar[str] = "fsrs"

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
        self.weights = np.array(checked_weights(weights))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return weights, prior and guess."""
        return {"weights": self.weights, **super().arrays()}

    def _memory(self, n: int) -> Students:
        """Return stabilities and difficulties of 0."""
        shape = n, self.items.num_skills
        return {"stability": np.zeros(shape), "difficulty": np.zeros(shape)}

    def _practised(self, students: Students, place: Any) -> Bools:
        """Return whether there is a stability."""
        return np.asarray(students["stability"][place] > 0)

    def _recalled(self, students: Students, place: Any, days: Doubles) -> Doubles:
        """Return the retrievability."""
        stability = students["stability"][place]
        return retrievability(np.where(stability > 0, stability, 1.0), days, self.weights)

    def _practise(self, students: Students, place: Any, days: Doubles, correct: Any, weight: float) -> None:
        """Review the skills."""
        stability, difficulty = students["stability"][place], students["difficulty"][place]
        new = stability == 0
        before = np.where(new, np.nan, stability), np.where(new, np.nan, difficulty)
        after, students["difficulty"][place] = review(*before, days, np.where(correct == 1, GOOD, AGAIN), self.weights)
        students["stability"][place] = after if weight == 1 else stability + weight * (after - stability)


__all__ = ["FSRSModel"]
