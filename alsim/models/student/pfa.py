"""Performance factors analysis as a student model."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.logistic import logistic
from alsim.models.pfa import PFAFit
from alsim.models.student.base import BaseStudentModel, Students, parameters
from alsim.models.student.items import as_items
from alsim.responses.log import codes_of
from alsim.types import Codes, Doubles, Longs


class PFAModel(BaseStudentModel):
    """Performance factors analysis of many students: counts of correct and wrong answers to each skill.

        logit P(correct) = sum_k intercept_k + win_k wins_k + failure_k failures_k, over the skills k of the item

    items         Items, or another value that `as_items` accepts
    coefficients  (K, 3) intercept, win and failure of each skill, logits

    The state is `wins` and `failures` (n, K). The mastery of a skill is the chance of an item with this skill only.
    Raises ModelError for invalid parameters.
    Source: Pavlik, Cen & Koedinger (2009), Performance factors analysis, AIED.
    """

    kind: ClassVar[str] = "pfa"

    def __init__(self, items: Any, coefficients: ArrayLike) -> None:
        super().__init__(as_items(items))
        self.coefficients = parameters("coefficients", coefficients, (self.items.num_skills, 3))

    @classmethod
    def of_fit(cls, fit: PFAFit, items: Any = None) -> Self:
        """Return the model with the coefficients of a fit.

        items  as for the class; by default the skills of the fit. An unknown skill has the coefficients `fit.pooled`
        """
        table = as_items(fit.skills if items is None else items)
        return cls(table, np.vstack([fit.coefficients, fit.pooled])[codes_of(table.skills, fit.skills)])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the coefficients."""
        return {"coefficients": self.coefficients}

    def _start(self, n: int) -> Students:
        """Return counts of 0."""
        shape = n, self.items.num_skills
        return {"wins": np.zeros(shape, np.int64), "failures": np.zeros(shape, np.int64)}

    def _update(self, students: Students, rows: Longs, items: Longs, correct: Codes) -> None:
        """Count the answer for each skill of the item."""
        for m in range(self.items.has.shape[1]):
            here = self.items.has[items, m]
            place = rows[here], self.items.members[items[here], m]
            students["wins"][place] += correct[here]
            students["failures"][place] += 1 - correct[here]

    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the chance from the sum of the logits of the skills."""
        logits, lanes = self._logits(students), np.arange(len(students["wins"]))[:, None]
        total = np.zeros(np.broadcast_shapes(lanes.shape, items.shape))
        for m in range(self.items.has.shape[1]):
            total += logits[lanes, self.items.members[items, m]] * self.items.has[items, m]
        return logistic(total)

    def _mastery(self, students: Students) -> Doubles:
        """Return the chance of an item with one skill."""
        return logistic(self._logits(students))

    def _logits(self, students: Students) -> Doubles:
        """Return the contribution of each skill to a logit, (n, K)."""
        intercept, win, failure = self.coefficients.T
        return np.asarray(intercept + win * students["wins"] + failure * students["failures"])
