"""Intervals that hold for any number of values in a stated range, and the bootstrap of estimators."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE, deviation_of
from alsim.evaluation.ope.estimate import Estimate
from alsim.evaluation.ope.inputs import read_clip, read_like, read_log, read_units
from alsim.evaluation.resampling import drawn_units
from alsim.evaluation.statistics_input import read_confidence, read_draws, read_number, read_seed, read_values
from alsim.types import Doubles


class ClippingBias(NamedTuple):
    """Estimated bias of an estimator with clipped weights."""

    bias: float
    """Magnitude of the estimate."""
    upper: float
    """Upper confidence limit of the magnitude, by Bernstein's inequality."""


def hoeffding(values: ArrayLike, low: float, high: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Compute Hoeffding's interval of an expectation from independent values in a stated range.

        mean ± (high - low) sqrt(log(2 / alpha) / 2n)

    values     (n,) independent values, n >= 1, such as the `terms` of `pdis` with one episode per learner
    low, high  range that the values cannot leave, before the data are seen: for weights up to c and returns in [a, b],
               [min(0, c a), max(0, c b)]

    Returns (lower, upper). Raises AlsimError for values outside the range.
    Source: Hoeffding (1963), JASA 58, 13-30.
    """
    x, width, alpha = _read_range(values, low, high, confidence, 1)
    half = width * math.sqrt(math.log(2 / alpha) / (2 * len(x)))
    return float(x.mean()) - half, float(x.mean()) + half


def bernstein(values: ArrayLike, low: float, high: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Compute the empirical Bernstein interval of an expectation from independent values in a stated range.

        mean ± (sqrt(2 s^2 log(4 / alpha) / n) + 7 (high - low) log(4 / alpha) / (3 (n - 1)))

    It is narrower than Hoeffding's where the values vary little within their range. Arguments, result and errors are
    those of `hoeffding`, with n >= 2.
    Source: Maurer & Pontil (2009), COLT.
    """
    x, width, alpha = _read_range(values, low, high, confidence, 2)
    n, needed = len(x), math.log(4 / alpha)
    half = deviation_of(x) * math.sqrt(2 * needed / n) + 7 * width * needed / (3 * (n - 1))
    return float(x.mean()) - half, float(x.mean()) + half


def clipping_bias(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    clip: float,
    *,
    q: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> ClippingBias:
    """Estimate the bias of `ips` (or of `dr`, given q) from weights that are at most `clip`.

        |mean of (w - min(w, clip)) (r - q)|

    The upper limit adds sqrt(2 mean of w^2 log(2 / alpha) / n) + 2 max of w log(2 / alpha) / 3n; it holds for
    rewards whose distance from q is at most 1.

    rewards ... target  (n,) each, see `ips`
    q                   (n,) predicted reward of the action that was taken; None: 0

    Returns a ClippingBias. Raises AlsimError for invalid arguments.
    Source: Su, Dimakopoulou, Krishnamurthy & Dudík (2020), ICML.
    """
    log = read_log(rewards, behaviour, target, None, 1.0, confidence=confidence)
    w, limit = log.ratios[:, 0], read_clip(clip)
    model = 0.0 if q is None else read_like(q, "q", log.alive, 0.0)[:, 0]
    bias = abs(float(((w - np.minimum(w, limit)) * (log.rewards[:, 0] - model)).mean()))
    needed, n = math.log(2 / (1 - log.confidence)), len(w)
    upper = bias + math.sqrt(2 * float((w**2).mean()) * needed / n) + 2 * float(w.max()) * needed / (3 * n)
    return ClippingBias(bias, upper)


def bootstrap(
    estimator: Callable[..., Estimate],
    rewards: ArrayLike,
    *arrays: Any,
    learners: ArrayLike | None = None,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    **options: Any,
) -> Estimate:
    """Compute an estimate with the percentile interval from resampled learners.

    Each draw takes as many learners as there are, with replacement, with all episodes of each, and calls the estimator
    with their numbers as `weights`. A fit in the estimator, as in `fqe`, is repeated in each draw.

    estimator  function of `alsim.evaluation.ope`, or another one with its arguments `weights` and `learners`
    rewards    first argument of the estimator, (n, T) or (n,)
    arrays     its other positional arguments, such as behaviour, target and lengths
    learners   (n,) learner of each episode, or its class; None: each episode is one
    draws      number of draws, at least 2 / (1 - confidence)
    seed       integer in [0, 2**64)
    options    further arguments of the estimator

    Returns the Estimate of the estimator; `se` is the standard deviation over the draws, and `ci` their quantiles.
    Raises AlsimError for invalid arguments, and if the estimator fails in a draw.
    Source: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 3.8.
    """
    level, key = read_confidence(confidence), read_seed(seed)
    count = read_draws(draws, level)
    found = estimator(rewards, *arrays, learners=learners, confidence=level, **options)
    n = len(np.asarray(rewards))
    units = read_units(learners, n)
    unit: Any = np.arange(n) if units is None else units
    size = int(unit.max()) + 1
    values: list[float] = []
    for block in drawn_units(size, count, key):
        for drawn in block:
            often = np.bincount(drawn, minlength=size)[unit]
            values.append(estimator(rewards, *arrays, weights=often, **options).value)
    results: Doubles = np.array(values)
    low, high = np.quantile(results, ((1 - level) / 2, (1 + level) / 2))
    return replace(found, se=deviation_of(results), ci=(float(low), float(high)))


def _read_range(values: ArrayLike, low: Any, high: Any, confidence: Any, least: int) -> tuple[Doubles, float, float]:
    """Return values in a range, its width, and 1 - confidence. Raises AlsimError for others."""
    x = read_values(values, "values")
    bottom, top = (read_number(z, name, "pass the range of the values") for z, name in ((low, "low"), (high, "high")))
    if not bottom < top:
        raise AlsimError(f"low must be below high; got {bottom:g} and {top:g}: pass the range of the values")
    if (wrong := ~((x >= bottom) & (x <= top))).any():
        raise AlsimError(
            f"values must be in the stated range [{bottom:g}, {top:g}]; got {x[wrong][0]:g} at index "
            f"{int(wrong.argmax())}: state the range that the values cannot leave"
        )
    if len(x) < least:
        raise AlsimError(f"values must have at least {least} entries; got {len(x)}: collect more")
    return x, top - bottom, 1 - read_confidence(confidence)


__all__ = ["ClippingBias", "bernstein", "bootstrap", "clipping_bias", "hoeffding"]
