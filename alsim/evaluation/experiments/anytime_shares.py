"""Anytime-valid intervals of a share, by a mixture of binomial likelihoods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.mixture import TUNED_FOR, mixture_scale, needed
from alsim.evaluation.statistics_input import read_confidence, read_number
from alsim.types import Doubles
from alsim.utils.optional import require

HALVINGS = 40
"""Steps of bisection: limits are rounded outwards by less than 2**-40."""
TINY = 1e-300
"""Least parameter of a beta distribution, where p is 0 or 1."""


def bernoulli_interval(
    successes: ArrayLike, trials: ArrayLike, *, tuned_for: float = TUNED_FOR, confidence: float = CONFIDENCE
) -> tuple[Doubles, Doubles]:
    """Compute the anytime-valid interval of a share: that of all p with evidence below 1 / alpha.

        e(p) = B(c p + s, c (1 - p) + n - s) / (B(c p, c (1 - p)) p^s (1 - p)^(n - s)),
        c = tuned_for / (2 log(1 / alpha) + log(1 + 2 log(1 / alpha))) - 1

    B is the beta function: e compares a mixture of shares around p, by a beta distribution, with p itself. The interval
    contains the share after every number of trials at the same time, with the stated probability.

    successes   (...,) number s of successes
    trials      (...,) number n of independent trials, n >= 1, s <= n
    tuned_for   number of trials at which the interval is nearly the tightest, chosen before the data are seen; more
                than 8 at 95 %
    confidence  1 - alpha, in (0, 1)

    Returns the lower and the upper limits, (...,) each, in [0, 1]. Raises AlsimError for invalid arguments. Needs
    SciPy.
    Source: Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080, proposition 7.
    """
    level = read_confidence(confidence)
    s, n = _read_counts(successes, trials)
    weight = _weight(tuned_for, level)
    share = s / n
    return _bisect(s, n, np.zeros(s.shape), share, weight, level), _bisect(s, n, np.ones(s.shape), share, weight, level)


def _bisect(s: Doubles, n: Doubles, outer: Doubles, inner: Doubles, weight: float, confidence: float) -> Doubles:
    """Return the limits between excluded shares (`outer`) and shares that are not excluded (`inner`)."""
    special: Any = require("scipy.special", "evaluation", "an interval of shares")
    threshold = needed(confidence)
    for _ in range(HALVINGS):
        p = (outer + inner) / 2
        a, b = np.maximum(weight * p, TINY), np.maximum(weight * (1 - p), TINY)
        evidence = special.betaln(a + s, b + n - s) - special.betaln(a, b)
        excluded = evidence - special.xlogy(s, p) - special.xlog1py(n - s, -p) >= threshold
        outer, inner = np.where(excluded, p, outer), np.where(excluded, inner, p)
    return outer


def _weight(tuned_for: Any, confidence: float) -> float:
    """Return the number c of trials that the beta distribution of the mixture counts as."""
    size = read_number(tuned_for, "tuned_for", "pass a number of trials, such as the planned one")
    weight = mixture_scale(size, confidence) - 1
    if not weight > 0:
        least = math.ceil(1 / mixture_scale(1.0, confidence)) + 1
        raise AlsimError(
            f"tuned_for is too small for an interval of shares at confidence {confidence:g}; got {size:g}: pass a "
            f"number of trials of at least {least}"
        )
    return weight


def _read_counts(successes: ArrayLike, trials: ArrayLike) -> tuple[Doubles, Doubles]:
    """Return successes and trials as float64, of the same shape. Raises AlsimError for others."""
    given = [np.asarray(counts) for counts in (successes, trials)]
    for name, counts in zip(("successes", "trials"), given, strict=True):
        if counts.dtype.kind not in "iuf":
            raise InputTypeError(f"{name} must be numbers; got {counts.dtype}: pass counts")
    s, n = np.broadcast_arrays(*(counts.astype(np.float64) for counts in given))
    if (wrong := ~((n >= 1) & (s >= 0) & (s <= n) & np.isfinite(n))).any():
        raise AlsimError(
            f"successes must be from 0 to the number of trials, which must be at least 1; got {s[wrong][0]:g} of "
            f"{n[wrong][0]:g}: pass both counts after each trial"
        )
    return s, n


__all__ = ["bernoulli_interval"]
