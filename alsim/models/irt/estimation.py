"""Marginal maximum likelihood by EM over quadrature, accelerated."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from alsim.models.irt.expectation import Expected, Patterns, expect
from alsim.models.irt.maximisation import (
    MOST_INTERCEPT,
    MOST_SLOPE,
    Curves,
    Priors,
    Structure,
    guessing,
    log_curves,
    log_prior_density,
    logit,
    maximise,
)
from alsim.types import Doubles

RANGE = 6.0
"""Nodes lie in [-RANGE, RANGE], standard deviations of the reference group's ability."""
ROUNDING = 1e-12
"""Relative: two log-likelihoods this close are the same."""


Report = Callable[[int, float, float], None]
"""Told after an EM step: how many there were, the log-likelihood before it, and by how much it moved anything."""


class Groups(NamedTuple):
    """Normal distributions of ability in G groups, mean (G,) and sd (G,); the first is N(0, 1)."""

    mean: Doubles
    sd: Doubles


class State(NamedTuple):
    """All that is estimated."""

    curves: Curves
    groups: Groups


class Estimate(NamedTuple):
    """Where EM ended.

    state       the estimates
    expected    of an E-step there: its log-likelihood is that of the estimates
    iterations  EM steps
    converged   whether the last one moved no a, d, c, mean or sd by more than the tolerance
    path        log-likelihood (with log prior density) of each EM step that was kept
    """

    state: State
    expected: Expected
    iterations: int
    converged: bool
    path: list[float]


def quadrature(nodes: int) -> Doubles:
    """Return the nodes (K,): evenly spaced, which for a smooth integrand that vanishes at both ends is most exact."""
    return np.linspace(-RANGE, RANGE, nodes)


def log_prior(groups: Groups, theta: Doubles) -> Doubles:
    """Return the log-weight (G, K) of each node in each group."""
    density = -(((theta - groups.mean[:, None]) / groups.sd[:, None]) ** 2) / 2
    density -= density.max(axis=1, keepdims=True)  # a narrow group far out is none of zeros
    return np.asarray(density - np.log(np.exp(density).sum(axis=1, keepdims=True)))


def e_step(state: State, found: Patterns, theta: Doubles) -> Expected:
    """Return the expected counts under the estimates so far."""
    return expect(found, log_curves(state.curves, theta), log_prior(state.groups, theta))


def m_step(state: State, expected: Expected, theta: Doubles, structure: Structure, priors: Priors) -> State:
    """Return the estimates that fit expected counts best."""
    curves = maximise(state.curves, expected.counts, theta, structure, priors)
    mass = expected.mass[1:]
    total = np.maximum(mass.sum(axis=1), np.finfo(float).tiny)
    mean = mass @ theta / total
    variance = (mass * (theta - mean[:, None]) ** 2).sum(axis=1) / total
    sd = np.sqrt(np.maximum(variance, (theta[1] - theta[0]) ** 2 / 4))
    return State(curves, Groups(np.append(0.0, mean), np.append(1.0, sd)))


def estimate(
    start: State,
    found: Patterns,
    theta: Doubles,
    structure: Structure,
    priors: Priors,
    *,
    tolerance: float,
    max_iterations: int,
    progress: Report | None = None,
) -> Estimate:
    """Climb to the maximum of the marginal likelihood, or of the posterior density where there are priors.

    Every second step, the squared extrapolation of the last two: kept if it is no lower than they were, so that the
    path never falls; and, where the likelihood's digits no longer tell, if an EM step from it moves less. It ends by an
    EM step, and such a step stands still only where the gradient is zero.

    Source: Bock & Aitkin (1981), Psychometrika 46, 443-459; SQUAREM, step S3: Varadhan & Roland (2008), Scandinavian
    Journal of Statistics 35, 335-353.
    """
    state, before, fallback = start, None, None
    path: list[float] = []
    iterations, converged, change = 0, False, np.inf
    while True:
        expected = e_step(state, found, theta)
        value = expected.log_likelihood + log_prior_density(state.curves, structure, priors)
        gain = value - path[-1] if path else np.inf
        rounding = ROUNDING * abs(value)
        if fallback is not None and not gain >= -rounding:
            state, before, fallback = fallback, None, None
            continue
        if converged or iterations == max_iterations:
            return Estimate(state, expected, iterations, converged, [*path, value])
        after = m_step(state, expected, theta, structure, priors)
        iterations += 1
        last, change = change, _distance(after, state)
        if fallback is not None and gain <= rounding and change > last:
            change = last
            state, before, fallback = fallback, None, None
            continue
        fallback = None
        path.append(value)
        converged = change <= tolerance
        if progress is not None:
            progress(iterations, expected.log_likelihood, change)
        if before is None or converged:
            state, before = after, state
        else:
            fallback = after
            state, before = _extrapolated(before, state, after, structure), None


def _distance(one: State, other: State) -> float:
    """Return the largest difference of any a, d, c, mean or sd."""
    pairs = zip((*one.curves, *one.groups), (*other.curves, *other.groups), strict=True)
    return max(float(np.abs(x - y).max()) for x, y in pairs)


def _extrapolated(first: State, second: State, third: State, structure: Structure) -> State:
    """Return the squared extrapolation of three successive EM iterates."""
    x, y, z = (_packed(s, structure) for s in (first, second, third))
    step, bend = y - x, z - 2 * y + x
    length = float(np.linalg.norm(bend))
    if length == 0:
        return third
    alpha = max(1.0, float(np.linalg.norm(step)) / length)
    return _unpacked(x + 2 * alpha * step + alpha**2 * bend, third, structure)


def _packed(state: State, structure: Structure) -> Doubles:
    """Return all that is estimated as one vector, on scales without bounds but for a and d."""
    curves, groups = state
    c = logit(curves.c) if structure.guessing else curves.c
    return np.concatenate([curves.a, curves.d, c, groups.mean, np.log(groups.sd)])


def _unpacked(vector: Doubles, like: State, structure: Structure) -> State:
    """Return what `_packed` packed, held within the bounds."""
    many = len(like.curves.a)
    a, d, c = vector[: 3 * many].reshape(3, many)
    mean, log_sd = vector[3 * many :].reshape(2, -1)
    curves = Curves(
        np.clip(a, -MOST_SLOPE, MOST_SLOPE),
        np.clip(d, -MOST_INTERCEPT, MOST_INTERCEPT),
        guessing(c) if structure.guessing else c,
    )
    return State(curves, Groups(mean, np.exp(log_sd)))
