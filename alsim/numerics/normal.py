"""Expectations under the standard normal distribution, elementwise and with the same bits on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.numerics.doubles import exp_each
from alsim.types import Doubles

FARTHEST = 37.0
"""The distribution function is below 1e-299 at minus this."""
MIDDLE = 7.07106781186547
"""Up to here, the distribution function is a ratio of polynomials; beyond, a continued fraction."""
SQRT_TWO_PI = 2.5066282746310002
UPPER = (3.52624965998911e-2, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871, 221.213596169931)
UPPER_LAST = 220.206867912376
LOWER = (8.83883476483184e-2, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674, 637.333633378831)
LOWER_LAST = (793.826512519948, 440.413735824752)


def lower_tail(x: ArrayLike) -> Doubles:
    """Return the probability that a standard normal variate is below -x, for x >= 0; absolute error below 1e-15.

    Source: Hart et al. (1968), Computer Approximations, algorithm 5666, as in West (2005), Wilmott Magazine.
    """
    x = np.minimum(np.asarray(x, np.float64), FARTHEST)
    ratio = _polynomial(x, (*UPPER, UPPER_LAST)) / _polynomial(x, (*LOWER, *LOWER_LAST))
    fraction = x + 1 / (x + 2 / (x + 3 / (x + 4 / (x + 0.65))))
    return np.asarray(exp_each(-0.5 * x * x) * np.where(x < MIDDLE, ratio, 1 / (fraction * SQRT_TWO_PI)))


def expected_excess(mean: ArrayLike, std: ArrayLike) -> Doubles:
    """Return the expectation of max(0, mean + std Z) for a standard normal variate Z.

        max(0, mean) + std (phi(x) - x Phi(-x)),  x = |mean| / std

    mean, std  arrays that broadcast, std >= 0

    Returns an array; absolute error below 1e-14 std and the rounding of the mean.
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    x = np.minimum(np.abs(mean), FARTHEST * std) / np.where(std > 0, std, 1.0)
    density = exp_each(-0.5 * x * x) / SQRT_TWO_PI
    return np.asarray(np.maximum(mean, 0.0) + std * np.maximum(density - x * lower_tail(x), 0.0))


def _polynomial(x: Doubles, coefficients: tuple[float, ...]) -> Doubles:
    """Return a polynomial by Horner's rule; the coefficient of the highest power comes first."""
    value = np.zeros_like(x)
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


__all__ = ["expected_excess", "lower_tail"]
