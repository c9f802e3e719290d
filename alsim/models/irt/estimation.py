"""Marginal maximum likelihood estimation by an accelerated EM algorithm with fixed quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from alsim.models.irt.expectation import Expected, Patterns, expect
from alsim.models.irt.maximisation import (
    MAX_INTERCEPT,
    MAX_SLOPE,
    Curves,
    Priors,
    Structure,
    guessing,
    log_curves,
    log_prior_density,
    logit,
    maximise,
    moved_to_bounds,
)
from alsim.types import Doubles

RANGE = 6.0
"""The nodes cover [-RANGE, RANGE], in standard deviations of ability in the reference group."""
ROUNDING = 1e-12
"""Relative difference up to which two log-likelihoods count as equal."""


StepCallback = Callable[[int, float, float], None]
"""Callback after an EM step: number of steps, log-likelihood before the step, largest change of a parameter."""


class Groups(NamedTuple):
    """Normal distributions of ability in G groups: mean (G,) and sd (G,), logits; the first group is N(0, 1)."""

    mean: Doubles
    sd: Doubles


STANDARD_NORMAL = Groups(np.zeros(1), np.ones(1))
"""One group, whose ability is N(0, 1)."""


class State(NamedTuple):
    """All estimated parameters."""

    curves: Curves
    groups: Groups


class EMResult(NamedTuple):
    """Result of the EM algorithm.

    state       estimates
    expected    E-step at the estimates; its log-likelihood is the log-likelihood of the fit
    iterations  number of EM steps
    converged   True if the last step changed no a, d, c, mean or sd by more than the tolerance
    path        log-likelihood plus log prior density before each accepted EM step, and at the end
    """

    state: State
    expected: Expected
    iterations: int
    converged: bool
    path: list[float]


def quadrature(nodes: int) -> Doubles:
    """Return equally spaced nodes (K,), logits.

    For a smooth integrand that vanishes at both ends, no rule is more accurate than equal spacing with equal weights.
    """
    return np.linspace(-RANGE, RANGE, nodes)


def log_prior(groups: Groups, theta: Doubles) -> Doubles:
    """Return the log-weight (G, K) of each node theta (K,) in each group; the weights of a group sum to 1."""
    density = -(((theta - groups.mean[:, None]) / groups.sd[:, None]) ** 2) / 2
    density -= density.max(axis=1, keepdims=True)  # so that not all weights of a narrow, distant group underflow
    return np.asarray(density - np.log(np.exp(density).sum(axis=1, keepdims=True)))


def node_weights(nodes: int) -> Doubles:
    """Return the weights (K,) of the nodes under the standard normal distribution; they sum to 1."""
    return np.asarray(np.exp(log_prior(STANDARD_NORMAL, quadrature(nodes)))[0])


def e_step(state: State, patterns: Patterns, theta: Doubles) -> Expected:
    """Return the expected counts under the current estimates, at nodes theta (K,)."""
    return expect(patterns, log_curves(state.curves, theta), log_prior(state.groups, theta))


def m_step(state: State, expected: Expected, theta: Doubles, structure: Structure, priors: Priors) -> State:
    """Return the estimates that maximise the expected log-density, at nodes theta (K,)."""
    curves = maximise(state.curves, expected.counts, theta, structure, priors)
    mass = expected.mass[1:]
    total = np.maximum(mass.sum(axis=1), np.finfo(float).tiny)
    mean = mass @ theta / total
    variance = (mass * (theta - mean[:, None]) ** 2).sum(axis=1) / total
    sd = np.sqrt(np.maximum(variance, (theta[1] - theta[0]) ** 2 / 4))
    return State(curves, Groups(np.append(0.0, mean), np.append(1.0, sd)))


def run_em(
    start: State,
    patterns: Patterns,
    theta: Doubles,
    structure: Structure,
    priors: Priors,
    *,
    tolerance: float,
    max_iterations: int,
    callback: StepCallback | None = None,
) -> EMResult:
    """Maximise the marginal likelihood, or the posterior density of the item parameters if there are priors.

    start           initial estimates
    patterns        responses of the students
    theta           (K,) nodes, logits
    tolerance       the algorithm has converged when an EM step changes no parameter by more than this
    max_iterations  limit of EM steps
    callback        called after each EM step

    After every second EM step, the last two steps are extrapolated. The extrapolation is kept if the density does not
    fall, so that the density never decreases. If the densities are equal up to rounding, the extrapolation is kept only
    if the next EM step is shorter. The last step is always an EM step, which is zero only where the gradient is zero.
    At the end, estimates that are near a bound are set to the bound.

    Source: Bock & Aitkin (1981), Psychometrika 46, 443-459; SQUAREM, step S3: Varadhan & Roland (2008), Scandinavian
    Journal of Statistics 35, 335-353.
    """
    state, before, fallback = start, None, None
    path: list[float] = []
    iterations, converged, change = 0, False, np.inf
    while True:
        expected = e_step(state, patterns, theta)
        value = expected.log_likelihood + log_prior_density(state.curves, structure, priors)
        gain = value - path[-1] if path else np.inf
        rounding = ROUNDING * abs(value)
        if fallback is not None and not gain >= -rounding:
            state, before, fallback = fallback, None, None
            continue
        if converged or iterations == max_iterations:
            curves = moved_to_bounds(state.curves, structure, tolerance)
            if any(map(np.any, map(np.not_equal, curves, state.curves))):
                state = state._replace(curves=curves)
                expected = e_step(state, patterns, theta)
            return EMResult(state, expected, iterations, converged, [*path, value])
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
        if callback is not None:
            callback(iterations, expected.log_likelihood, change)
        if before is None or converged:
            state, before = after, state
        else:
            fallback = after
            state, before = _extrapolated(before, state, after, structure), None


def _distance(one: State, other: State) -> float:
    """Return the largest absolute difference between two states in any a, d, c, mean or sd."""
    pairs = zip((*one.curves, *one.groups), (*other.curves, *other.groups), strict=True)
    return max(float(np.abs(x - y).max()) for x, y in pairs)


def _extrapolated(first: State, second: State, third: State, structure: Structure) -> State:
    """Return the squared extrapolation of three successive EM iterates."""
    x, y, z = (_packed(s, structure) for s in (first, second, third))
    step, curvature = y - x, z - 2 * y + x
    length = float(np.linalg.norm(curvature))
    if length == 0:
        return third
    alpha = max(1.0, float(np.linalg.norm(step)) / length)
    return _unpacked(x + 2 * alpha * step + alpha**2 * curvature, third, structure)


def _packed(state: State, structure: Structure) -> Doubles:
    """Return all parameters as one vector; c and sd are transformed to unbounded scales."""
    curves, groups = state
    c = logit(curves.c) if structure.has_guessing else curves.c
    return np.concatenate([curves.a, curves.d, c, groups.mean, np.log(groups.sd)])


def _unpacked(vector: Doubles, like: State, structure: Structure) -> State:
    """Return the state of a vector from `_packed`, clipped to the bounds; `like` has the same shapes."""
    num_curves = len(like.curves.a)
    a, d, c = vector[: 3 * num_curves].reshape(3, num_curves)
    mean, log_sd = vector[3 * num_curves :].reshape(2, -1)
    curves = Curves(
        np.clip(a, -MAX_SLOPE, MAX_SLOPE),
        np.clip(d, -MAX_INTERCEPT, MAX_INTERCEPT),
        guessing(c) if structure.has_guessing else c,
    )
    return State(curves, Groups(mean, np.exp(log_sd)))
