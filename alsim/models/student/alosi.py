"""Bayesian knowledge tracing with partial scores, as the engine ALOSI has it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.base import ModelError
from alsim.models.student.bkt import BKTModel, normalized
from alsim.numerics.doubles import exp_each, log_each
from alsim.types import Doubles, Longs


class AlosiModel(BKTModel):
    """Bayesian knowledge tracing whose answers may have partial scores, in [0, 1].

    A score s is evidence between that of a wrong answer and that of a correct one: the odds of knowing are multiplied
    by `(p_slip / (1 - p_guess))**(1 - s) * ((1 - p_slip) / p_guess)**s`. For the scores 0 and 1, this is BKT exactly.
    The arguments, the state and the errors are those of `BKTModel`.

    Source: Rosen, Rushkin, Ang, Federicks, Tingley & Blink (2017), Designing adaptive assessments in MOOCs, L@S.
    """

    kind: ClassVar[str] = "alosi"
    partial_credit: ClassVar[bool] = True

    def _weighed(
        self, case: tuple[Longs, int], score: Doubles, known: Doubles, unknown: Doubles
    ) -> tuple[Doubles, Doubles]:
        """Return the weights of both states after scores (M,)."""
        if_known, if_unknown = self._if_known[:, *case], self._if_unknown[:, *case]
        return (
            np.asarray(known * between(if_known[0], if_known[1], score)),
            np.asarray(unknown * between(if_unknown[0], if_unknown[1], score)),
        )


def update_mastery(
    mastery: ArrayLike, score: ArrayLike, guess: ArrayLike, slip: ArrayLike, transit: ArrayLike
) -> Doubles:
    """Return the mastery after scores: evidence by Bayes' rule, then learning. The arguments are broadcast.

    mastery  probability of knowing the skill, in [0, 1]
    score    score of the response, in [0, 1]; values between 0 and 1 interpolate geometrically
    guess    probability of a correct answer without knowing, in (0, 1)
    slip     probability of a wrong answer while knowing, in (0, 1)
    transit  probability of learning after the response, in [0, 1)

        odds(after) = t + (t + 1) x odds(mastery)                 t = odds(transit)
        x = (slip / (1 - guess))**(1 - score) * ((1 - slip) / guess)**score

    Raises ModelError for values outside these ranges, and for NaN.
    """
    values = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (mastery, score, guess, slip, transit)))
    for name, value in zip(("mastery", "score", "guess", "slip", "transit"), values, strict=True):
        if not ((value >= 0) & (value <= 1)).all():
            bad = value[~((value >= 0) & (value <= 1))].flat[0]
            raise ModelError(f"{name} must be numbers in [0, 1]; got {bad}: divide scores by the largest possible one")
    p, s, g, wrong, learn = values
    known, unknown = normalized(p * between(wrong, 1 - wrong, s), (1 - p) * between(1 - g, g, s))
    return normalized(known + unknown * learn, unknown * (1 - learn))[0]


def between(at_zero: Doubles, at_one: Doubles, score: Doubles) -> Doubles:
    """Return the geometric interpolation at_zero**(1 - score) * at_one**score of probabilities, elementwise."""
    inside = (score > 0) & (score < 1)
    found = np.where(score >= 1, at_one, at_zero)
    if inside.any():
        low, high, s = (np.broadcast_to(v, found.shape)[inside] for v in (at_zero, at_one, score))
        possible = (low > 0) & (high > 0)
        logs = (1 - s) * log_each(np.where(possible, low, 1)) + s * log_each(np.where(possible, high, 1))
        found[inside] = np.where(possible, exp_each(logs), 0.0)
    return found


__all__ = ["AlosiModel", "between", "update_mastery"]
