"""Propensities that are estimated, for logs without them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.ope.fitted_q import FOLDS, parts_of
from alsim.evaluation.ope.multinomial import Rows, fit, predict
from alsim.evaluation.statistics_input import LARGEST, read_count, read_number
from alsim.types import Doubles, Longs, short_repr

PENALTY = 1.0
"""Factor of half the sum of squared coefficients: that of a normal prior with mean 0 and variance 1."""
FLOOR_SHARE = 0.01
"""Default floor of a propensity, as a share of that of a uniform choice among the actions of the log."""


@short_repr
class Propensities(NamedTuple):
    """Estimated probabilities of logged actions under the policy of the log."""

    probability: Doubles
    """Of the action in each row, (M,), at least `floor`."""
    clipped: int
    """Number of rows whose estimate was below the floor."""
    floor: float
    """Smallest probability."""


def estimate_propensities(
    features: ArrayLike,
    actions: ArrayLike,
    learners: ArrayLike,
    folds: int = FOLDS,
    floor: float | None = None,
) -> Propensities:
    """Estimate propensities by a multinomial logistic regression of the actions on features.

        P(a | x) = exp(x . theta_a) / sum over b of exp(x . theta_b)

    Features are scaled to mean 0 and standard deviation 1; their coefficients have a normal prior with mean 0 and
    variance 1, and the constants none. Learners are predicted by a model that was fitted without them (cross-fitting).
    The estimates are as good as the model: estimators with them are biased if the policy of the log saw more than the
    features, or used them otherwise, unless the model of the values in `dr` is right.

    features  (M, d) what the policy of the log could see in each row; d may be 0
    actions   (M,) action that was taken, integers or names
    learners  (M,) independent unit of each row, learner or class, integers or names
    folds     number of parts of the learners, at least 2
    floor     smallest probability, in (0, 1): smaller estimates are raised to it. None: a hundredth of that of a
              uniform choice among the actions of the log

    Returns a Propensities: the same bits on every machine. Raises AlsimError for invalid arguments, and for fewer than
    two learners.
    Source: Rosenbaum & Rubin (1983), Biometrika 70; Chernozhukov et al. (2018), Econometrics Journal 21, for
    cross-fitting.
    """
    codes, num_actions = _read_codes(actions, "actions")
    units, num_units = _read_codes(learners, "learners")
    x = _read_features(features, len(codes))
    if len(units) != len(codes):
        raise AlsimError(f"learners must have {len(codes):,} entries, as actions; got {len(units):,}: pass one per row")
    parts = read_count(folds, "folds", 2, 1000, "pass the number of parts, such as 5")
    least = default_floor(num_actions) if floor is None else read_floor(floor)
    if num_units < 2:
        raise AlsimError("propensities are fitted to other learners, so at least 2 are needed; got 1: collect more")
    probability = _cross_fitted(_scaled(x), codes, parts_of(units, parts), num_actions)
    return Propensities(np.maximum(probability, least), int((probability < least).sum()), least)


def default_floor(num_actions: int) -> float:
    """Return the smallest probability for a number of actions."""
    return FLOOR_SHARE / num_actions


def read_floor(floor: Any) -> float:
    """Return a floor in (0, 1). Raises AlsimError for others."""
    cure = "pass a small probability, such as 0.001"
    number = read_number(floor, "floor", cure)
    if not 0 < number < 1:
        raise AlsimError(f"floor must be in (0, 1); got {number:g}: {cure}")
    return number


def _cross_fitted(x: Doubles, codes: Longs, fold: Longs, num_actions: int) -> Doubles:
    """Return the probability of each action, (M,), by a model of the other parts of the learners."""
    probability = np.empty(len(codes))
    for part in np.unique(fold):
        trained = fold != part
        if not trained.any():
            raise AlsimError("all learners are in the same part: pass another number of folds")
        present = np.flatnonzero(np.bincount(codes[trained], minlength=num_actions))
        number = np.full(num_actions, -1)
        number[present] = np.arange(len(present))
        rows = Rows(x, number[codes], trained)
        theta = fit(rows, len(present), PENALTY / int(trained.sum()), np.zeros((x.shape[1], len(present))))
        predict(rows, theta, probability)
    return probability


def _scaled(x: Doubles) -> Doubles:
    """Return a column of 1, and features with mean 0 and standard deviation 1; those that do not vary are 0."""
    found = np.ones((len(x), x.shape[1] + 1))
    for k, column in enumerate(map(np.ascontiguousarray, x.T), start=1):
        centred = column - column.mean()
        spread = float(np.sqrt((centred**2).mean()))
        varies = spread > 1e-12 * float(np.abs(column).max(initial=0.0))
        found[:, k] = centred / spread if varies else 0.0
    return found


def _read_codes(values: ArrayLike, name: str) -> tuple[Longs, int]:
    """Return the number of each name, (M,), and how many there are. Raises AlsimError for others."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        raise AlsimError(f"{name} must have shape (M,), M at least 1; got {array.shape}: pass one entry per row")
    if array.dtype.kind not in "iuSU":
        raise InputTypeError(f"{name} must be integers or names; got {array.dtype}: convert them")
    names, codes = np.unique(array, return_inverse=True)
    return codes.astype(np.int64), len(names)


def _read_features(values: ArrayLike, rows: int) -> Doubles:
    """Return features (M, d). Raises AlsimError for others."""
    try:
        array: NDArray[Any] = np.asarray(values)
    except ValueError as error:
        raise InputTypeError(f"features must be an array (M, d): {error}; pass one row of numbers per action") from None
    if array.ndim == 1 and len(array) == rows:
        array = array[:, np.newaxis]
    if array.ndim != 2 or len(array) != rows:
        raise AlsimError(f"features must have shape ({rows}, d), one row per action; got {array.shape}: reshape them")
    if array.dtype.kind not in "iufb":
        raise InputTypeError(f"features must be numbers; got {array.dtype}: use indicators of categories")
    numbers: Doubles = array.astype(np.float64)
    if (wrong := ~(np.abs(numbers) <= LARGEST)).any():
        i, k = np.argwhere(wrong)[0].tolist()
        raise AlsimError(
            f"features must be finite; got {numbers[i, k]:g} in row {i}, column {k}: leave the episode out, or mark "
            "missing values by an indicator"
        )
    return numbers


__all__ = ["FLOOR_SHARE", "PENALTY", "Propensities", "default_floor", "estimate_propensities", "read_floor"]
