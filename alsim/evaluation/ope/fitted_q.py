"""Fitted Q evaluation for a finite horizon: a linear model of the values at each step, fitted from the last one on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.bandit import dm
from alsim.evaluation.ope.estimate import Estimate
from alsim.evaluation.ope.inputs import Log, read_log
from alsim.evaluation.statistics_input import read_count, read_number
from alsim.jit.compile import lean_kernel
from alsim.types import Bools, Doubles, Longs, short_repr, u64

FOLDS = 5
"""Default number of parts of the learners for cross-fitting."""
RIDGE = 0.1
"""Default penalty of squared coefficients, in episodes: few episodes would else give models that extrapolate wildly."""
SPREAD = u64(0x9E3779B97F4A7C15)
"""Odd multiplier that spreads the numbers of units over folds (Knuth 1998, section 6.4)."""


@short_repr
class ActionValues(NamedTuple):
    """Predicted sums of later rewards, discounted."""

    q: Doubles
    """Of the action that was taken, (n, T); 0 after the end of an episode."""
    v: Doubles
    """Of an action of the target policy, (n, T); 0 after the end of an episode."""


def fitted_q(
    rewards: ArrayLike,
    features: NDArray[np.floating],
    expected: NDArray[np.floating],
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    learners: ArrayLike | None = None,
    folds: int = FOLDS,
    ridge: float = RIDGE,
) -> ActionValues:
    """Fit the values of a target policy, step by step from the last one, and predict them for the log.

        Q_t = features_t . theta_t,  V_t = expected_t . theta_t,
        theta_t = least squares of r_t + gamma V_(t+1) on features_t, over the episodes that reach step t

    Learners are predicted by a model that was fitted without them (cross-fitting). Indicators of states and actions as
    features give the tabular estimate. Biased where features are no Markov state; see `dr` for a correction.

    rewards   (n, T) reward of each step
    features  (n, T, d) features of the observation and the action that was taken
    expected  (n, T, d) mean of the features under the target policy: sum over actions of its probability times them
    folds     number of parts of the learners; 1 fits and predicts the same ones
    ridge     penalty of squared coefficients, in units of the mean square of the features, at least 0: it counts as
              much as this number of episodes with a goal of 0

    The other arguments and errors are those of `pdis`. Returns an ActionValues.
    Source: Le, Voloshin & Yue (2019), ICML, with one model per step.
    """
    ones = np.ones(np.shape(rewards))
    log = read_log(rewards, ones, ones, lengths, gamma, weights, learners)
    x, mean = (_read_features(a, name, log.alive) for a, name in ((features, "features"), (expected, "expected")))
    if mean.shape != x.shape:
        raise AlsimError(f"expected must have the shape of features, {x.shape}; got {mean.shape}")
    parts = read_count(folds, "folds", 1, 1000, "pass the number of parts, such as 5")
    penalty = read_number(ridge, "ridge", "pass a number of at least 0")
    if penalty < 0:
        raise AlsimError(f"ridge must be at least 0; got {penalty:g}: pass a number of at least 0")
    return _fitted(log, x, mean, fold_of(log, parts), parts, penalty)


def fqe(
    rewards: ArrayLike,
    features: NDArray[np.floating],
    expected: NDArray[np.floating],
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    learners: ArrayLike | None = None,
    ridge: float = RIDGE,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute fitted Q evaluation: the mean of V_1 of `fitted_q`, fitted to all episodes.

    The standard error is that of the mean over first observations: it counts neither the error of the fit nor its bias,
    so there is no interval. The spread over refits to resampled learners, passed as `weights`, counts the former.

    Arguments and errors are those of `fitted_q`. Returns an Estimate.
    """
    values = fitted_q(rewards, features, expected, lengths, gamma, weights, learners=learners, folds=1, ridge=ridge)
    return dm(values.v[:, 0], weights, learners=learners, confidence=confidence)


def fold_of(log: Log, folds: int) -> Longs:
    """Return the part of each episode, (n,) in [0, folds): all episodes of a unit are in the same part."""
    return parts_of(np.arange(len(log.rewards)) if log.units is None else log.units, folds)


def parts_of(units: Longs, folds: int) -> Longs:
    """Return the part of each unit, in [0, folds), of units that are numbered from 0."""
    spread = (units.astype(np.uint64) + u64(1)) * SPREAD >> u64(32)
    return (spread % u64(folds)).astype(np.int64)


def _fitted(
    log: Log, x: NDArray[np.floating], mean: NDArray[np.floating], fold: Longs, folds: int, ridge: float
) -> ActionValues:
    """Return the predictions of models that are fitted backwards."""
    n, steps, d = x.shape
    found = ActionValues(np.zeros((n, steps)), np.zeros((n, steps)))
    later = np.zeros((folds, n))
    grams, sums = np.empty((folds, d, d)), np.empty((folds, folds, d))
    theta, predicted = np.empty((folds, d)), np.empty((folds, n))
    discount = float(log.discounts[1]) if steps > 1 else 1.0
    for t in range(steps - 1, -1, -1):
        goal = log.rewards[:, t] + discount * later
        rows = np.bincount(fold, log.counts * log.alive[:, t], folds)
        accumulate(x[:, t], goal, log.counts, log.alive[:, t], fold, grams, sums)
        for k in range(folds):
            others = [j for j in range(folds) if j != k or folds == 1]
            gram, right = grams[others].sum(axis=0), sums[k, others].sum(axis=0)
            gram[np.arange(d), np.arange(d)] += ridge * np.trace(gram) / d / max(rows[others].sum(), 1.0)
            theta[k] = right
            solve(gram, theta[k])
        predict(mean[:, t], theta, log.alive[:, t], predicted)
        later = predicted.copy()
        found.v[:, t] = predicted[fold, np.arange(n)]
        predict(x[:, t], theta, log.alive[:, t], predicted)
        found.q[:, t] = predicted[fold, np.arange(n)]
    return found


@lean_kernel
def accumulate(
    x: NDArray[np.floating],
    goal: Doubles,
    counts: Doubles,
    alive: Bools,
    fold: Longs,
    grams: Doubles,
    sums: Doubles,
) -> None:
    """Write the sums of the products of features with features and with goals, by fold.

    x       (n, d)
    goal    (F, n) goals of the model that leaves out each fold
    grams   (F, d, d), written
    sums    (F, F, d), written: of the goals of a model, over the episodes of a fold
    """
    d, folds = x.shape[1], len(grams)
    grams[:] = 0.0
    sums[:] = 0.0
    for i in range(len(x)):
        if not alive[i] or counts[i] == 0.0:
            continue
        for a in range(d):
            scaled = counts[i] * x[i, a]
            if scaled != 0.0:
                for b in range(a + 1):
                    grams[fold[i], a, b] += scaled * x[i, b]
                for k in range(folds):
                    sums[k, fold[i], a] += scaled * goal[k, i]
    for k in range(folds):
        for a in range(d):
            for b in range(a):
                grams[k, b, a] = grams[k, a, b]


@lean_kernel
def solve(gram: Doubles, right: Doubles) -> None:
    """Solve a positive semidefinite system in place, by Cholesky's method; coefficients without data become 0.

    gram   (d, d), overwritten
    right  (d,), overwritten by the solution
    """
    d = len(right)
    for a in range(d):
        diagonal = gram[a, a]
        for b in range(a):
            rest = gram[a, b]
            for c in range(b):
                rest -= gram[a, c] * gram[b, c]
            gram[a, b] = rest / gram[b, b] if gram[b, b] > 0.0 else 0.0
        rest = diagonal
        for c in range(a):
            rest -= gram[a, c] * gram[a, c]
        gram[a, a] = np.sqrt(rest) if rest > 1e-12 * diagonal else 0.0
    for a in range(d):
        rest = right[a]
        for c in range(a):
            rest -= gram[a, c] * right[c]
        right[a] = rest / gram[a, a] if gram[a, a] > 0.0 else 0.0
    for a in range(d - 1, -1, -1):
        rest = right[a]
        for c in range(a + 1, d):
            rest -= gram[c, a] * right[c]
        right[a] = rest / gram[a, a] if gram[a, a] > 0.0 else 0.0


@lean_kernel
def predict(x: NDArray[np.floating], theta: Doubles, alive: Bools, out: Doubles) -> None:
    """Write the prediction (F, n) of each model for each episode, 0 after its end."""
    for i in range(len(x)):
        for k in range(len(theta)):
            total = 0.0
            if alive[i]:
                for a in range(x.shape[1]):
                    total += x[i, a] * theta[k, a]
            out[k, i] = total


def _read_features(values: NDArray[np.floating], name: str, alive: Bools) -> NDArray[np.floating]:
    """Return features (n, T, d). Raises AlsimError for others."""
    array = np.asarray(values)
    if array.ndim != 3 or array.shape[:2] != alive.shape or array.shape[2] == 0:
        raise AlsimError(
            f"{name} must have shape ({alive.shape[0]}, {alive.shape[1]}, d), d at least 1; got {array.shape}: pass "
            "the features of each step"
        )
    if array.dtype.kind not in "iufb":
        raise InputTypeError(f"{name} must be numbers; got {array.dtype}: encode names as indicators")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if (wrong := ~np.isfinite(array).all(axis=2) & alive).any():
        i, t = np.argwhere(wrong)[0].tolist()
        raise AlsimError(f"{name} must be finite; got NaN or infinite in episode {i}, step {t}: leave the episode out")
    return array


__all__ = ["FOLDS", "RIDGE", "ActionValues", "fitted_q", "fold_of", "fqe", "parts_of"]
