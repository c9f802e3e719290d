"""Distributions over actions: exploration by a floor, masks, and draws with exact propensities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.policies.base import View
from alsim.policies.checks import is_fraction
from alsim.types import Bools, Doubles, Longs

MOST_ENTRIES = 2**21
"""Largest number of probabilities that are computed at once: 16 MB."""

Rows = Callable[[slice], Doubles]
"""Function of a slice of M lanes that returns the weights of their actions, (M, A)."""


def sums(values: Doubles) -> Doubles:
    """Return the sum of each row of values (N, K), (N,), added from left to right.

    `np.sum` adds in an order that depends on the layout of the array, and thereby on the batch.
    """
    return np.asarray(np.cumsum(values, axis=1)[:, -1])


def explored(odds: Doubles, allowed: Bools | None, floor: float) -> Doubles:
    """Return probabilities of actions, (N, A): with probability `floor` uniform over the allowed actions.

    odds     (N, A) probabilities of a policy, 0 for actions that are not allowed; a row of zeros is replaced by the
             uniform distribution over the allowed actions
    allowed  (N, A), or None if all actions are allowed
    floor    probability of a uniform draw, in [0, 1]
    """
    if allowed is None:
        uniform: Any = 1 / odds.shape[1]
    else:
        uniform = np.where(allowed, 1 / np.maximum(allowed.sum(axis=1, keepdims=True), 1), 0.0)
    mixed = floor * uniform + (1 - floor) * odds
    return np.asarray(np.where(odds.any(axis=1, keepdims=True), mixed, uniform))


def draw(odds: Doubles, uniform: Doubles) -> tuple[Longs, Doubles]:
    """Return an action drawn from each row of probabilities (N, A), and its probability, (N,) each.

    uniform  (N,) variates on (0, 1)
    """
    cumulative = np.cumsum(odds, axis=1)
    # Entries of probability 0 repeat the sum before them, and so are never the first above the variate.
    actions = (cumulative <= (uniform * cumulative[:, -1])[:, np.newaxis]).sum(axis=1)
    return actions, odds[np.arange(len(odds)), actions]


def draw_in_parts(rows: Rows, uniform: Doubles, num_actions: int) -> tuple[Longs, Doubles]:
    """Return the draws of `draw`, with the probabilities of at most MOST_ENTRIES actions in memory at once."""
    lanes = len(uniform)
    actions, propensities = np.zeros(lanes, np.int64), np.zeros(lanes)
    size = max(1, MOST_ENTRIES // num_actions)
    for first in range(0, lanes, size):
        part = slice(first, min(first + size, lanes))
        actions[part], propensities[part] = draw(rows(part), uniform[part])
    return actions, propensities


def mask_of(view: View, part: slice) -> Bools | None:
    """Return the mask of some lanes, (M, A); None if all actions are allowed."""
    mask: Bools | None = getattr(view, "mask", None)
    return None if mask is None else mask[part]


def read_number(policy: str, parameter: str, value: Any, *, positive: bool = False) -> float:
    """Return a parameter of a policy in [0, 1], or in (0, 1] if it must be positive. Raises AlsimError."""
    if not is_fraction(value) or (positive and value == 0):
        interval = "(0, 1]" if positive else "[0, 1]"
        raise AlsimError(f"the {parameter} of {policy} must be a number in {interval}; got {value!r}")
    return float(value)


__all__ = ["draw", "draw_in_parts", "explored", "mask_of", "read_number", "sums"]
