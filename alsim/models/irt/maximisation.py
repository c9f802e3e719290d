"""M-step of the EM algorithm: the item parameters that maximise the expected log-likelihood.

    P = c + (1 - c) F,   F = 1 / (1 + exp(-(a theta + d))),   Q = 1 - P

For r expected correct answers among n at a node, the score of (a, d, logit c) is (r - n P) / P (F theta, F, c). Fisher
scoring uses the expected information: n Q / P times the outer product of (F theta, F, c) with itself. It equals
Newton's method if c = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from alsim.models.logistic import logistic
from alsim.types import Bools, Doubles, Longs

Model = str
PARAMETERS_PER_ITEM = {"rasch": 1, "1pl": 1, "2pl": 2, "3pl": 3}
"""Number of parameters that each model estimates per item; the 1PL has one more, the shared a."""
MODELS = tuple(PARAMETERS_PER_ITEM)

MAX_SLOPE, MAX_INTERCEPT = 10.0, 30.0
"""Bounds of |a| and |d|; beyond them, a curve is practically a step function."""
MIN_GUESSING, MAX_GUESSING = 1e-5, 0.6
"""Bounds of c."""
STEPS_TO_BOUND, MAX_MARGIN = 1000, 0.01
"""An estimate is at a bound if it is closer than this number of tolerances, but at most MAX_MARGIN.

EM stops when a step is shorter than the tolerance. Where the steps shrink slowly, the rest of the way is many steps."""

SCORING_STEPS, HALVINGS = 3, 12
"""Limits of scoring steps in an M-step, and of halvings of a step. More steps gain little before the next E-step."""
MIN_STEP = 1e-9
"""An M-step ends when a scoring step changes every parameter by less than this."""
CURVES_PER_BLOCK = 500
"""Number of curves that are updated together: their arrays fit in the processor's cache, which halves the time."""
RIDGE = 1e-9
"""Added to the diagonal of each information matrix, so that a curve without responses keeps its parameters."""


class Priors(NamedTuple):
    """Prior densities of the parameters of each item; None for no prior.

    a  (mean, sd) of a normal prior of log a, which implies a > 0
    d  (mean, sd) of a normal prior of d = -a b, logits
    c  (alpha, beta) of a Beta prior of c, each at least 1

    The second number of a and d is a standard deviation, not a variance. The estimates are the mode of the posterior
    density of a, d and c themselves, not of log a. The prior density of a, which has the factor 1 / a, has its mode at
    exp(mean - sd^2): 0.78 for (0, 0.5).
    """

    a: tuple[float, float] | None = None
    d: tuple[float, float] | None = None
    c: tuple[float, float] | None = None


class Curves(NamedTuple):
    """Parameters of V curves, each (V,) float64: discrimination a, intercept d = -a b, guessing c."""

    a: Doubles
    d: Doubles
    c: Doubles


@dataclass(frozen=True)
class Structure:
    """Model and constraints of V curves.

    model  "rasch", "1pl", "2pl" or "3pl"
    unit   (V,) int64, in [0, U); the curves of one unit have the same a
    """

    model: Model
    unit: Longs

    @cached_property
    def num_units(self) -> int:
        """The number of units, U."""
        return int(self.unit.max()) + 1

    @property
    def has_slope(self) -> bool:
        """True if a is estimated."""
        return self.model != "rasch"

    @property
    def has_guessing(self) -> bool:
        """True if c is estimated."""
        return self.model == "3pl"


def log_curves(curves: Curves, theta: Doubles) -> Doubles:
    """Return (2V, K): the rows log Q and log P of each curve at the nodes theta (K,).

    Q is computed as (1 - c) F(-z), since 1 - P loses all precision where P is near 1.
    """
    z = curves.a[:, None] * theta + curves.d[:, None]
    c = curves.c[:, None]
    softplus = np.log1p(np.exp(-np.abs(z)))
    log_f = np.minimum(z, 0) - softplus
    table = np.empty((len(z), 2, len(theta)))
    table[:, 0] = np.minimum(-z, 0) - softplus + np.log1p(-c)
    table[:, 1] = np.where(c == 0, log_f, np.log(c + (1 - c) * np.exp(log_f))) if c.any() else log_f
    return table.reshape(-1, len(theta))


class _Objective(NamedTuple):
    """Expected log-density of each unit (U,), and score (V, 3) and information (V, 3, 3) of (a, d, logit c)."""

    value: Doubles
    score: Doubles
    information: Doubles


def maximise(curves: Curves, counts: Doubles, theta: Doubles, structure: Structure, priors: Priors) -> Curves:
    """Return the curves with the highest expected log-density, by Fisher scoring that starts at `curves`.

    counts  (2V, K) expected number of responses with each code at each node
    theta   (K,)    nodes

    The step of a unit is halved while it would lower the density. It is also halved while the derivative along the step
    is, at the end of the step, below minus half of its initial value: near the maximum, rounding hides a decrease of
    the density, but not the change of sign of the derivative.
    """
    num_curves, units = len(curves.a), structure.num_units
    if num_curves > CURVES_PER_BLOCK and units == num_curves:
        return _maximise_in_blocks(curves, counts, theta, structure, priors)
    current = _evaluate(curves, counts, theta, structure, priors)
    for _ in range(SCORING_STEPS):
        step = _direction(current, structure)
        if np.abs(step).max() < MIN_STEP:
            break
        fraction, rise = np.ones(units), _sum_by_unit((step * current.score).sum(axis=1), structure)
        for halving in range(HALVINGS + 1):
            trial = _moved(curves, step * fraction[structure.unit][:, None], structure)
            objective = _evaluate(trial, counts, theta, structure, priors)
            worse = objective.value < current.value - 1e-13 * np.abs(current.value)
            worse |= _sum_by_unit((step * objective.score).sum(axis=1), structure) < -0.5 * rise
            if not worse.any():
                break
            fraction[worse] *= 0.5 if halving < HALVINGS - 1 else 0.0
        curves, current = trial, objective
    return curves


def _maximise_in_blocks(
    curves: Curves, counts: Doubles, theta: Doubles, structure: Structure, priors: Priors
) -> Curves:
    """Return the result of `maximise` for curves that share no parameter, a block of curves at a time."""
    blocks = []
    for begin in range(0, len(curves.a), CURVES_PER_BLOCK):
        block = Curves(*(column[begin : begin + CURVES_PER_BLOCK] for column in curves))
        separate = Structure(structure.model, np.arange(len(block.a)))
        block_counts = counts[2 * begin : 2 * (begin + CURVES_PER_BLOCK)]
        blocks.append(maximise(block, block_counts, theta, separate, priors))
    return Curves(*map(np.concatenate, zip(*blocks, strict=True)))


def _moved(curves: Curves, step: Doubles, structure: Structure) -> Curves:
    """Return the curves after a step (V, 3) of (a, d, logit c), clipped to the bounds."""
    a = np.clip(curves.a + step[:, 0], -MAX_SLOPE, MAX_SLOPE) if structure.has_slope else curves.a
    d = np.clip(curves.d + step[:, 1], -MAX_INTERCEPT, MAX_INTERCEPT)
    if not structure.has_guessing:
        return Curves(a, d, curves.c)
    return Curves(a, d, guessing(logit(curves.c) + step[:, 2]))


def moved_to_bounds(curves: Curves, structure: Structure, tolerance: float) -> Curves:
    """Return the curves, with estimates that are near a bound set to the bound; see STEPS_TO_BOUND.

    tolerance  of EM
    """
    margin = min(STEPS_TO_BOUND * tolerance, MAX_MARGIN)

    def moved(values: Doubles, low: float, high: float) -> Doubles:
        return np.where(values - low < margin, low, np.where(high - values < margin, high, values))

    a = moved(curves.a, -MAX_SLOPE, MAX_SLOPE) if structure.has_slope else curves.a
    c = moved(curves.c, MIN_GUESSING, MAX_GUESSING) if structure.has_guessing else curves.c
    return Curves(a, moved(curves.d, -MAX_INTERCEPT, MAX_INTERCEPT), c)


def at_bounds(a: Doubles, d: Doubles) -> Bools:
    """Return whether the a or the d of each curve is at a bound; False where they are NaN."""
    return np.asarray((np.abs(a) >= MAX_SLOPE) | (np.abs(d) >= MAX_INTERCEPT))


def logit(p: Doubles) -> Doubles:
    """Return log(p / (1 - p))."""
    return np.asarray(np.log(p) - np.log1p(-p))


def guessing(gamma: Doubles) -> Doubles:
    """Return c for a logit of c, clipped to its bounds."""
    return np.clip(logistic(gamma), MIN_GUESSING, MAX_GUESSING)


def _sum_by_unit(values: Doubles, structure: Structure) -> Doubles:
    """Return the sum (U,) of values (V,) over the curves of each unit."""
    return np.bincount(structure.unit, values, structure.num_units).astype(np.float64)


def _evaluate(curves: Curves, counts: Doubles, theta: Doubles, structure: Structure, priors: Priors) -> _Objective:
    """Return the expected log-density at `curves`, with its score and information."""
    table = log_curves(curves, theta)
    wrong, right = counts[0::2], counts[1::2]
    c = curves.c[:, None]
    f = logistic(curves.a[:, None] * theta + curves.d[:, None])
    p, q = c + (1 - c) * f, (1 - c) * (1 - f)
    total = wrong + right
    value = np.einsum("vk,vk->v", counts.reshape(len(c), -1), table.reshape(len(c), -1))
    ones = np.ones_like(theta)
    residual = (right - total * p) / p
    weight = total * q / p
    score, information = np.empty((len(c), 3)), np.empty((len(c), 3, 3))
    score[:, :2] = (residual * f) @ np.stack([theta, ones], axis=1)
    score[:, 2] = residual.sum(axis=1) * curves.c
    moments = (weight * f * f) @ np.stack([theta**2, theta, ones], axis=1)
    information[:, 0, 0], information[:, 1, 1] = moments[:, 0], moments[:, 2]
    information[:, 0, 1] = information[:, 1, 0] = moments[:, 1]
    mixed = (weight * f) @ np.stack([theta, ones], axis=1) * c
    information[:, 2, :2] = information[:, :2, 2] = mixed
    information[:, 2, 2] = weight.sum(axis=1) * curves.c**2
    _add_priors(curves, value, score, information, structure, priors)
    information += RIDGE * np.eye(3)
    return _Objective(_sum_by_unit(value, structure), score, information)


def _add_priors(
    curves: Curves, value: Doubles, score: Doubles, information: Doubles, structure: Structure, priors: Priors
) -> None:
    """Add the log-density of the priors to the value, and its derivatives to the score and information, in place."""
    if priors.d is not None:
        mean, sd = priors.d
        value -= (curves.d - mean) ** 2 / (2 * sd**2)
        score[:, 1] -= (curves.d - mean) / sd**2
        information[:, 1, 1] += 1 / sd**2
    if priors.a is not None and structure.has_slope:
        mean, sd = priors.a
        part = 1 / np.bincount(structure.unit)[structure.unit]  # the prior of a shared a is divided among its curves
        a = np.where(curves.a > 0, curves.a, 1.0)
        deviation = (np.log(a) - mean) / sd**2
        value += np.where(curves.a > 0, -np.log(a) - deviation**2 * sd**2 / 2, -np.inf) * part
        score[:, 0] -= (1 + deviation) / a * part
        information[:, 0, 0] += part / (sd * a) ** 2
    if priors.c is not None and structure.has_guessing:
        alpha, beta = priors.c[0] - 1, priors.c[1] - 1
        value += alpha * np.log(curves.c) + beta * np.log1p(-curves.c)
        score[:, 2] += alpha * (1 - curves.c) - beta * curves.c
        information[:, 2, 2] += (alpha + beta) * curves.c * (1 - curves.c)


def log_prior_density(curves: Curves, structure: Structure, priors: Priors) -> float:
    """Return the log prior density of all parameters, without constants."""
    value = np.zeros(len(curves.a))
    _add_priors(curves, value, np.zeros((len(value), 3)), np.zeros((len(value), 3, 3)), structure, priors)
    return float(value.sum())


def _direction(objective: _Objective, structure: Structure) -> Doubles:
    """Return the Fisher scoring step (V, 3) of (a, d, logit c), 0 for parameters that are not estimated.

    A shared a couples the curves of its unit. Eliminating d and logit c, which no curves share, leaves one equation per
    unit.
    """
    own = slice(1, 3 if structure.has_guessing else 2)
    inner = objective.information[:, own, own]
    coupling = objective.information[:, own, 0]
    right_sides = np.stack([objective.score[:, own], coupling], axis=2)
    solved = np.linalg.solve(inner, right_sides)
    step = np.zeros_like(objective.score)
    if structure.has_slope:
        score = objective.score[:, 0] - np.einsum("vi,vi->v", coupling, solved[:, :, 0])
        information = objective.information[:, 0, 0] - np.einsum("vi,vi->v", coupling, solved[:, :, 1])
        unit_score = _sum_by_unit(score, structure)
        unit_information = np.maximum(_sum_by_unit(information, structure), RIDGE)
        step[:, 0] = (unit_score / unit_information)[structure.unit]
    step[:, own] = solved[:, :, 0] - solved[:, :, 1] * step[:, :1]
    return step
