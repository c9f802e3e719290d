"""Checked arrays of bandit algorithms: lanes of K arms, where a state of one row broadcasts to all lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.types import Bools, Doubles


def rows_of(algorithm: str, name: str, values: Any, *, positive: bool = False) -> Doubles:
    """Return values as a contiguous float64 array (N, K); (K,) becomes (1, K).

    Raises AlsimError, which names the algorithm, for other shapes, and for values that are not finite, or not positive.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise AlsimError(f"{name} of {algorithm} must be numbers (K,) or (N, K); got {values!r}") from None
    if array.ndim not in (1, 2) or array.shape[-1] == 0:
        raise AlsimError(f"{name} of {algorithm} must have the shape (K,) or (N, K); got {array.shape}")
    if not np.isfinite(array).all() or (positive and not (array > 0).all()):
        kind = "positive and finite" if positive else "finite"
        invalid = array[~(np.isfinite(array) & ((array > 0) | (not positive)))]
        raise AlsimError(f"{name} of {algorithm} must be {kind}; got {invalid.flat[0]}; correct this entry")
    return np.ascontiguousarray(np.atleast_2d(array))


def allowed_rows(allowed: Bools | None, shape: tuple[int, ...]) -> Bools:
    """Return which arms are allowed, (N, K) contiguous; all if `allowed` is None."""
    if allowed is None:
        return np.ones(shape, np.bool_)
    return np.ascontiguousarray(np.broadcast_to(allowed, np.broadcast_shapes(np.shape(allowed), shape)))


def shared_by_best(scores: Doubles, allowed: Bools) -> Doubles:
    """Return probabilities (N, K), uniform over the allowed arms of largest score; 0 where no arm is allowed."""
    considered = np.where(allowed, scores, -np.inf)
    best = (considered == considered.max(axis=1, keepdims=True)) & allowed
    return np.asarray(best / np.maximum(best.sum(axis=1, keepdims=True), 1))


__all__ = ["allowed_rows", "rows_of", "shared_by_best"]
