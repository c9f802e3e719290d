"""The M-step: the curves that fit expected counts best.

    P = c + (1 - c) F,   F = 1 / (1 + exp(-(a theta + d))),   Q = 1 - P

With r expected correct answers of n at a node, the score of (a, d, logit c) is (r - n P) / P (F theta, F, c), and the
information that Fisher's scoring uses, n Q / P times the square of (F theta, F, c): Newton's own where c = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alsim.models.logistic import logistic
from alsim.types import Doubles, Longs

Model = str
MODELS = ("rasch", "1pl", "2pl", "3pl")

MOST_SLOPE, MOST_INTERCEPT = 10.0, 30.0
"""Estimates are held in these, either sign: beyond, a curve is a step at any student's ability."""
LEAST_GUESSING, MOST_GUESSING = 1e-5, 0.6

NEWTON_STEPS, HALVINGS = 3, 12
ENOUGH = 1e-9
"""A step this small, in any parameter, ends an M-step; so do a few steps, since the next E-step moves the target."""
TOGETHER = 500
"""Curves that an M-step moves at a time: their numbers stay in a processor's cache, which takes half the time."""
RIDGE = 1e-9
"""Added to each information: no response at all then moves nothing."""


class Priors(NamedTuple):
    """Prior densities of the parameters of each item; None: none.

    a  (mean, sd) of log a, normal: a > 0
    d  (mean, sd) of d = -a b, normal
    c  (alpha, beta) of c, Beta, each at least 1
    """

    a: tuple[float, float] | None = None
    d: tuple[float, float] | None = None
    c: tuple[float, float] | None = None


class Curves(NamedTuple):
    """Parameters of V curves, each (V,) float64: discrimination, intercept d = -a b, guessing."""

    a: Doubles
    d: Doubles
    c: Doubles


@dataclass(frozen=True)
class Structure:
    """What is estimated of V curves.

    model  "rasch", "1pl", "2pl" or "3pl"
    share  (V,) int64; curves of the same number share their a
    """

    model: Model
    share: Longs

    @property
    def slopes(self) -> bool:
        """Whether a is estimated."""
        return self.model != "rasch"

    @property
    def guessing(self) -> bool:
        """Whether c is estimated."""
        return self.model == "3pl"


def log_curves(curves: Curves, theta: Doubles) -> Doubles:
    """Return (2V, K): log Q and log P of each curve at each node, one row after the other.

    Of Q = (1 - c) F(-z), not of 1 - P, of which nothing is left where P is near 1.
    """
    z = curves.a[:, None] * theta + curves.d[:, None]
    c = curves.c[:, None]
    softplus = np.log1p(np.exp(-np.abs(z)))
    below = np.minimum(z, 0) - softplus  # log F
    table = np.empty((len(z), 2, len(theta)))
    table[:, 0] = np.minimum(-z, 0) - softplus + np.log1p(-c)
    table[:, 1] = np.where(c == 0, below, np.log(c + (1 - c) * np.exp(below))) if c.any() else below
    return table.reshape(-1, len(theta))


class _Fitness(NamedTuple):
    """Of each unit: log-density (U,); of each curve: score (V, 3) and information (V, 3, 3) of (a, d, logit c)."""

    value: Doubles
    score: Doubles
    information: Doubles


def maximise(curves: Curves, counts: Doubles, theta: Doubles, structure: Structure, priors: Priors) -> Curves:
    """Return the curves of the highest expected log-density, by Fisher's scoring from `curves`.

    counts  (2V, K) expected students at each node by code
    theta   (K,)    the nodes

    A step that would lower the density of a unit, the curves that share an a, is halved until it does not; so is one
    that ends where the density falls half as steeply as it rose, which near the maximum shows an overshoot that the
    density's own digits do not.
    """
    many, units = len(curves.a), int(structure.share.max()) + 1
    if many > TOGETHER and units == many:
        parts = []
        for begin in range(0, many, TOGETHER):
            some = Curves(*(column[begin : begin + TOGETHER] for column in curves))
            alone = Structure(structure.model, np.arange(len(some.a)))
            parts.append(maximise(some, counts[2 * begin : 2 * (begin + TOGETHER)], theta, alone, priors))
        return Curves(*map(np.concatenate, zip(*parts, strict=True)))
    now = _fitness(curves, counts, theta, structure, priors, units)
    for _ in range(NEWTON_STEPS):
        step = _direction(now, structure, units)
        if np.abs(step).max() < ENOUGH:
            break
        part, rise = np.ones(units), _by_unit((step * now.score).sum(axis=1), structure, units)
        for halving in range(HALVINGS + 1):
            trial = _moved(curves, step * part[structure.share][:, None], structure)
            then = _fitness(trial, counts, theta, structure, priors, units)
            worse = then.value < now.value - 1e-13 * np.abs(now.value)
            worse |= _by_unit((step * then.score).sum(axis=1), structure, units) < -0.5 * rise
            if not worse.any():
                break
            part[worse] *= 0.5 if halving < HALVINGS - 1 else 0.0
        curves, now = trial, then
    return curves


def _moved(curves: Curves, step: Doubles, structure: Structure) -> Curves:
    """Return the curves a step (V, 3) of (a, d, logit c) away, held within the bounds."""
    a = np.clip(curves.a + step[:, 0], -MOST_SLOPE, MOST_SLOPE) if structure.slopes else curves.a
    d = np.clip(curves.d + step[:, 1], -MOST_INTERCEPT, MOST_INTERCEPT)
    if not structure.guessing:
        return Curves(a, d, curves.c)
    return Curves(a, d, guessing(logit(curves.c) + step[:, 2]))


def logit(p: Doubles) -> Doubles:
    """Return log(p / (1 - p))."""
    return np.asarray(np.log(p) - np.log1p(-p))


def guessing(gamma: Doubles) -> Doubles:
    """Return c of its logit, held within its bounds."""
    return np.clip(logistic(gamma), LEAST_GUESSING, MOST_GUESSING)


def _by_unit(values: Doubles, structure: Structure, units: int) -> Doubles:
    """Return sums (U,) over the curves of each unit."""
    return np.bincount(structure.share, values, units).astype(np.float64)


def _fitness(
    curves: Curves, counts: Doubles, theta: Doubles, structure: Structure, priors: Priors, units: int
) -> _Fitness:
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
    return _Fitness(_by_unit(value, structure, units), score, information)


def _add_priors(
    curves: Curves, value: Doubles, score: Doubles, information: Doubles, structure: Structure, priors: Priors
) -> None:
    """Add what the priors say to the value, score and information of each curve."""
    if priors.d is not None:
        mean, sd = priors.d
        value -= (curves.d - mean) ** 2 / (2 * sd**2)
        score[:, 1] -= (curves.d - mean) / sd**2
        information[:, 1, 1] += 1 / sd**2
    if priors.a is not None and structure.slopes:
        mean, sd = priors.a
        once = 1 / np.bincount(structure.share)[structure.share]  # of a shared a, each curve has its part
        a = np.where(curves.a > 0, curves.a, 1.0)
        off = (np.log(a) - mean) / sd**2
        value += np.where(curves.a > 0, -np.log(a) - off**2 * sd**2 / 2, -np.inf) * once
        score[:, 0] -= (1 + off) / a * once
        information[:, 0, 0] += once / (sd * a) ** 2
    if priors.c is not None and structure.guessing:
        alpha, beta = priors.c[0] - 1, priors.c[1] - 1
        value += alpha * np.log(curves.c) + beta * np.log1p(-curves.c)
        score[:, 2] += alpha * (1 - curves.c) - beta * curves.c
        information[:, 2, 2] += (alpha + beta) * curves.c * (1 - curves.c)


def log_prior_density(curves: Curves, structure: Structure, priors: Priors) -> float:
    """Return the log prior density of all parameters, without its constants."""
    value = np.zeros(len(curves.a))
    _add_priors(curves, value, np.empty((len(value), 3)), np.empty((len(value), 3, 3)), structure, priors)
    return float(value.sum())


def _direction(now: _Fitness, structure: Structure, units: int) -> Doubles:
    """Return the step (V, 3) of Fisher's scoring; what is not estimated stays.

    A shared a couples the curves of its unit. Eliminating what is each curve's own, d and logit c, leaves one equation
    a unit.
    """
    own = slice(1, 3 if structure.guessing else 2)
    inner = now.information[:, own, own]
    coupling = now.information[:, own, 0]
    both = np.stack([now.score[:, own], coupling], axis=2)
    solved = np.linalg.solve(inner, both)
    step = np.zeros_like(now.score)
    if structure.slopes:
        score = now.score[:, 0] - np.einsum("vi,vi->v", coupling, solved[:, :, 0])
        information = now.information[:, 0, 0] - np.einsum("vi,vi->v", coupling, solved[:, :, 1])
        gain = _by_unit(score, structure, units)
        steepness = np.maximum(_by_unit(information, structure, units), RIDGE)
        step[:, 0] = (gain / steepness)[structure.share]
    step[:, own] = solved[:, :, 0] - solved[:, :, 1] * step[:, :1]
    return step
