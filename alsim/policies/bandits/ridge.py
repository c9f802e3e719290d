"""Ridge regression of the reward of each arm on a context: the state of LinUCB and of linear Thompson sampling.

The inverse of the matrix of each arm is updated by one product of vectors per reward.

Source: Sherman & Morrison (1950), Adjustment of an inverse matrix corresponding to a change in one element.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.jit.compile import kernel
from alsim.types import Doubles, Longs


class Ridge(NamedTuple):
    """Regressions of K arms on d features in each of N lanes, or in one row that all lanes share."""

    inverse: Doubles  # (N, K, d, d) inverse of l2 I + sum of x x'
    coefficients: Doubles  # (N, K, d)


def start_ridge(lanes: int, arms: int, features: int, l2: float = 1.0) -> Ridge:
    """Return the state before the first reward."""
    inverse = np.broadcast_to(np.eye(features) / l2, (lanes, arms, features, features))
    return Ridge(inverse.copy(), np.zeros((lanes, arms, features)))


@kernel
def _learn(
    inverse: Doubles, coefficients: Doubles, rows: Longs, arms: Longs, contexts: Doubles, rewards: Doubles
) -> None:
    features = contexts.shape[1]
    gain = np.empty(features)
    for m in range(len(rows)):
        s, k = rows[m], arms[m]
        gain[:] = 0.0
        for i in range(features):
            x = contexts[m, i]
            for j in range(features):
                gain[j] += x * inverse[s, k, i, j]
        spread, predicted = 1.0, 0.0
        for i in range(features):
            spread += contexts[m, i] * gain[i]
            predicted += contexts[m, i] * coefficients[s, k, i]
        error = (rewards[m] - predicted) / spread
        for i in range(features):
            coefficients[s, k, i] += error * gain[i]
            scaled = gain[i] / spread
            for j in range(features):
                inverse[s, k, i, j] -= scaled * gain[j]


@kernel
def _estimate(inverse: Doubles, coefficients: Doubles, contexts: Doubles, mean: Doubles, variance: Doubles) -> None:
    lanes, arms = mean.shape
    features = contexts.shape[1]
    product = np.empty(features)
    for n in range(lanes):
        s = n if inverse.shape[0] > 1 else 0
        for k in range(arms):
            product[:] = 0.0
            total, squared = 0.0, 0.0
            for i in range(features):
                x = contexts[n, i]
                total += x * coefficients[s, k, i]
                for j in range(features):
                    product[j] += x * inverse[s, k, i, j]
            for i in range(features):
                squared += contexts[n, i] * product[i]
            mean[n, k], variance[n, k] = total, max(squared, 0.0)


def learn_ridge(state: Ridge, rows: Longs, arms: Longs, contexts: Doubles, rewards: Doubles) -> None:
    """Add M rewards in their order, in place.

    rows      (M,) row of the state of each reward; rows may repeat
    arms      (M,)
    contexts  (M, d)
    rewards   (M,)
    """
    _learn(
        *(
            state.inverse,
            state.coefficients,
            np.ascontiguousarray(rows, np.int64),
            np.ascontiguousarray(arms, np.int64),
        ),
        *(_contexts(state, contexts), np.ascontiguousarray(rewards, np.float64)),
    )


def estimates(state: Ridge, contexts: Doubles) -> tuple[Doubles, Doubles]:
    """Compute x'w and x'A^-1 x of each arm for contexts (N, d), (N, K) each; a state of one row broadcasts."""
    x = _contexts(state, contexts)
    shape = len(x), state.coefficients.shape[1]
    mean, variance = np.empty(shape), np.empty(shape)
    inverse, coefficients = np.ascontiguousarray(state.inverse), np.ascontiguousarray(state.coefficients)
    _estimate(inverse, coefficients, x, mean, variance)
    return mean, variance


def _contexts(state: Ridge, contexts: Doubles) -> Doubles:
    """Return contexts as a contiguous array (N, d). Raises AlsimError for another number of features."""
    x = np.ascontiguousarray(contexts, np.float64)
    if x.ndim != 2 or x.shape[1] != state.coefficients.shape[2]:
        raise AlsimError(
            f"contexts must have the shape (N, {state.coefficients.shape[2]}); got {x.shape}; start the "
            "regression with the number of features"
        )
    return x


__all__ = ["Ridge", "estimates", "learn_ridge", "start_ridge"]
