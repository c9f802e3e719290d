"""Choice among estimates with more bias and less variance, and others: SLOPE."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.statistics_input import read_values

FACTOR = math.sqrt(6) - 1
"""Constant of the rule."""


def slope(values: ArrayLike, widths: ArrayLike) -> int:
    """Choose an estimate by SLOPE: the narrowest one whose interval overlaps with those of all wider ones.

    Sorted by width, the widest first, the rule takes estimates while

        |value_j - value_i| <= width_i + (sqrt(6) - 1) width_j   for all i before j

    and returns the last one. It requires that a narrower interval means more bias, as with the clip of weights.

    values  (M,) estimates, M >= 1
    widths  (M,) half-width of the confidence interval of each, at least 0

    Returns the index of the chosen estimate. Raises AlsimError for invalid arguments.
    Source: Su, Srinath & Krishnamurthy (2020), ICML.
    """
    numbers, half = read_values(values, "values"), read_values(widths, "widths")
    if numbers.shape != half.shape:
        raise AlsimError(f"values and widths must have the same length; got {len(numbers)} and {len(half)}")
    if np.isnan(numbers).any() or not (half >= 0).all():
        raise AlsimError("values must not be NaN, and widths must be at least 0: leave estimates without them out")
    order = np.argsort(-half, kind="stable").tolist()
    chosen = order[0]
    for place, j in enumerate(order):
        if any(abs(numbers[j] - numbers[i]) > half[i] + FACTOR * half[j] for i in order[:place]):
            break
        chosen = j
    return int(chosen)


__all__ = ["slope"]
