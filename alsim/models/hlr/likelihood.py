"""Likelihood of half-life regression with its derivatives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.models.hlr.memory import HALF_LIVES, LN_2, RECALLS, held_recall
from alsim.models.logistic import logistic
from alsim.types import Doubles, Longs, short_repr

SHORTEST, LONGEST = np.log2(HALF_LIVES)
"""Bounds of log2 of a half-life in days."""
ROUNDING = 0.1
"""Width of the smooth transitions at the bounds in a fit, which needs derivatives; log2 of days."""


@short_repr
class Reviews(NamedTuple):
    """M answers to practised skills, of K skills."""

    features: Doubles
    """sqrt(1 + right), sqrt(1 + wrong) and 1, (M, 3)."""
    skill: Longs
    """Skill of each answer, (M,)."""
    days: Doubles
    """Time since the last practice, (M,)."""
    correct: Doubles
    """0 or 1, (M,)."""
    weight: Doubles
    """Number of times that each answer counts, (M,)."""
    guess: float
    """Probability of a correct answer without recall."""


@short_repr
class Coefficients(NamedTuple):
    """Parameters of x, log2 of a half-life in days: x = features weights + intercepts[skill]."""

    weights: Doubles
    """Weights of correct answers, of wrong answers, and of all, (3,)."""
    intercepts: Doubles
    """Intercept of each skill, (K,)."""

    def plus(self, step: Coefficients, factor: float) -> Coefficients:
        """Return the parameters after a part of a step."""
        return Coefficients(self.weights + factor * step.weights, self.intercepts + factor * step.intercepts)


@short_repr
class Slopes(NamedTuple):
    """Derivatives of the log-likelihood of each answer by x, times its weight, (M,)."""

    first: Doubles
    """First derivative."""
    observed: Doubles
    """Minus the second derivative."""
    expected: Doubles
    """Mean of `observed` over answers, which is not negative."""


def penalised(reviews: Reviews, at: Coefficients, penalty: float) -> float:
    """Return the log-likelihood minus penalty / 2 times the sum of squared intercepts, nats.

    penalty  infinite if the intercepts stay 0
    """
    loss = 0.0 if np.isinf(penalty) else penalty / 2 * float((at.intercepts**2).sum())
    return log_likelihood(reviews.correct, chances(reviews, at), reviews.weight) - loss


def chances(reviews: Reviews, at: Coefficients) -> Doubles:
    """Return the probability of a correct answer, (M,)."""
    recall = np.exp(-_exponents(reviews, _held(_log2_days(reviews, at))[0]))
    return np.asarray(reviews.guess + (1 - reviews.guess) * held_recall(recall))


def log_likelihood(correct: Doubles, chance: Doubles, weight: Doubles) -> float:
    """Return the log-likelihood of answers (R,), nats."""
    return float(weight @ np.log(np.where(correct == 1, chance, 1 - chance)))


def slopes(reviews: Reviews, at: Coefficients) -> Slopes:
    """Return the derivatives of the log-likelihood of each answer.

    With recall R = e^-u and u = ln(2) t 2^-x:  dR/dx = ln(2) u R,  d2R/dx2 = ln(2)^2 u (u - 1) R.
    Here x is held in its bounds, which the chain rule takes into account.
    """
    x = _log2_days(reviews, at)
    held, slope, bend = _held(x)
    u = _exponents(reviews, held)
    recall, correct = np.exp(-u), reviews.correct
    scale = (1 - reviews.guess) * (RECALLS[1] - RECALLS[0]) * LN_2
    once, twice = scale * u * recall, scale * LN_2 * u * (u - 1) * recall
    once, twice = once * slope, twice * slope**2 + once * bend
    right = reviews.guess + (1 - reviews.guess) * held_recall(recall)
    wrong = 1 - right
    by_chance = correct / right - (1 - correct) / wrong
    return Slopes(
        first=reviews.weight * by_chance * once,
        observed=reviews.weight * ((correct / right**2 + (1 - correct) / wrong**2) * once**2 - by_chance * twice),
        expected=reviews.weight * once**2 / (right * wrong),
    )


def _log2_days(reviews: Reviews, at: Coefficients) -> Doubles:
    """Return x, log2 of the half-life in days, not held in its bounds, (M,)."""
    return np.asarray(reviews.features @ at.weights + at.intercepts[reviews.skill])


def _held(x: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Return log2 of half-lives held in their bounds, with first and second derivative.

    A bound is smooth: at the bound itself, the result differs from it by ROUNDING ln(2).
    """
    above, over = (x - SHORTEST) / ROUNDING, (x - LONGEST) / ROUNDING
    held = SHORTEST + ROUNDING * (np.logaddexp(0.0, above) - np.logaddexp(0.0, over))
    low, high = logistic(above), logistic(over)
    return held, low - high, (low * (1 - low) - high * (1 - high)) / ROUNDING


def _exponents(reviews: Reviews, held: Doubles) -> Doubles:
    """Return u, with which recall is e^-u, (M,)."""
    return np.asarray(LN_2 * reviews.days * np.exp2(-held))


__all__ = ["Coefficients", "Reviews", "Slopes", "chances", "log_likelihood", "penalised", "slopes"]
