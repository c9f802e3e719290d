"""The two-sided normal mixture: a bound that a sum of errors crosses at any time with a stated probability.

The functions are for the package and do not check their arguments. Confidence sequences and anytime-valid p-values are
built on them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alsim.evaluation.estimates import CONFIDENCE
from alsim.types import Doubles

TUNED_FOR = 1000.0
"""Default number of values at which a bound is tightest. A bound holds for other numbers too, but is wider there."""


def needed(confidence: float) -> float:
    """Return log(1 / alpha), the log of the evidence that excludes a value; alpha = 1 - confidence."""
    return -math.log1p(-confidence)


def mixture_scale(tuned_for: float, confidence: float = CONFIDENCE) -> float:
    """Compute the scale of the mixture whose bound is nearly the tightest at one variance.

        rho = v / (2 log(1 / alpha) + log(1 + 2 log(1 / alpha)))

    tuned_for   variance v of the sum, > 0: for values of variance 1, their number
    confidence  1 - alpha, in (0, 1)

    Returns rho, in the unit of the variance.
    Source: Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080, section 3.5; W of Lambert is
    replaced by its approximation.
    """
    double = 2 * needed(confidence)
    return tuned_for / (double + math.log1p(double))


def log_mixture(total: Doubles, variance: Doubles, scale: float) -> Doubles:
    """Compute the log of the evidence against an expectation of 0.

        log e = log(rho / (v + rho)) / 2 + s^2 / (2 (v + rho))

    total     sum s of the values minus their expectation, (...,)
    variance  variance v of the sum, (...,), >= 0
    scale     rho, see `mixture_scale`

    Returns log e. If the expectation is 0, then e exceeds 1 / alpha at any time with a probability of at most alpha, so
    min(1, 1 / e) is an anytime-valid p-value.
    Source: Robbins (1970), Annals of Mathematical Statistics 41, 1397-1409; Howard et al. (2021), proposition 5.
    """
    whole = variance + scale
    return np.asarray(np.log(scale / whole) / 2 + total**2 / (2 * whole))


def mixture_bound(variance: NDArray[np.floating], scale: float, confidence: float = CONFIDENCE) -> Doubles:
    """Compute the bound that the sum of the errors exceeds, at any time, with a probability of at most alpha.

        bound = sqrt((v + rho) (log((v + rho) / rho) + 2 log(1 / alpha)))

    variance    variance v of the sum, (...,), >= 0
    scale       rho, see `mixture_scale`
    confidence  1 - alpha, in (0, 1)

    Returns the bound of the absolute value, in the unit of the values: where `log_mixture` is log(1 / alpha).
    Source: Howard et al. (2021), equation 14.
    """
    whole = variance + scale
    return np.asarray(np.sqrt(whole * (np.log(whole / scale) + 2 * needed(confidence))))


__all__ = ["TUNED_FOR", "log_mixture", "mixture_bound", "mixture_scale", "needed"]
