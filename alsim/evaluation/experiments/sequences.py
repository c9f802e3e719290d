"""Confidence sequences: intervals of a mean that hold after every number of values at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.anytime_shares import bernoulli_interval
from alsim.evaluation.experiments.asymptotic import FIRST, asymptotic_limits
from alsim.evaluation.experiments.betting import betting_limits
from alsim.evaluation.experiments.mixture import TUNED_FOR, mixture_bound, mixture_scale, needed
from alsim.evaluation.experiments.predictable import Limits, empirical_bernstein, hoeffding, nested
from alsim.evaluation.experiments.sequence_input import (
    SequenceOptions,
    check_binary,
    check_range,
    read_method,
    read_options,
    read_sequence,
)
from alsim.evaluation.statistics_input import read_count, read_number
from alsim.types import Doubles, short_repr

Method = Literal["betting", "empirical-bernstein", "hoeffding", "beta-binomial", "normal-mixture", "asymptotic"]
"""Method of a confidence sequence."""


@short_repr
@dataclass(frozen=True, eq=False)
class ConfidenceSequence:
    """Intervals of a mean after 1, 2, ..., n values.

    method      name of the method
    confidence  probability that all intervals contain the mean
    estimate    (n,) mean of the values so far
    lower       (n,) lower limits; -inf before the first interval
    upper       (n,) upper limits; inf before the first interval. Limits that never widen may meet or cross: then an
                assumption of the method is probably wrong
    """

    method: Method
    confidence: float
    estimate: Doubles
    lower: Doubles
    upper: Doubles

    def at(self, n: int) -> tuple[float, float]:
        """Return the interval (lower, upper) after n values, n from 1 to the number of values."""
        last = len(self.lower)
        place = read_count(n, "n", 1, last, "pass a number of values of the sequence") - 1
        return float(self.lower[place]), float(self.upper[place])

    def excludes(self, value: float) -> int | None:
        """Return the number of values after which an interval first excludes a value; None if none does."""
        number = read_number(value, "value", "pass a possible mean, such as 0.5")
        outside = (number < self.lower) | (number > self.upper)
        return int(outside.argmax()) + 1 if outside.any() else None

    def to_dict(self) -> dict[str, Any]:
        """Return the last interval as JSON values; infinite limits are None."""
        ci = [float(end[-1]) if np.isfinite(end[-1]) else None for end in (self.lower, self.upper)]
        values = {"method": self.method, "confidence": self.confidence, "n": len(self.estimate)}
        return {**values, "mean": float(self.estimate[-1]), "ci": ci}


def confidence_sequence(
    x: ArrayLike,
    method: Method = "betting",
    *,
    confidence: float = CONFIDENCE,
    low: float | None = None,
    high: float | None = None,
    sd: float | None = None,
    tuned_for: float | None = None,
    first: int | None = None,
) -> ConfidenceSequence:
    """Compute intervals of the mean that hold after every number of values at the same time.

        P(lower_t <= mean <= upper_t for all t >= 1) >= confidence

    So an experiment may be watched and stopped at any time. A fixed-horizon interval that is watched like this excludes
    the true mean far too often. The probability is approximate for the method "asymptotic".

    x           (n,) independent values with a common mean, in order of arrival, n >= 1
    method      "betting", "empirical-bernstein" and "hoeffding": values in a stated range; limits never widen.
                "beta-binomial": values 0 and 1. "normal-mixture": values whose errors are normal or sub-Gaussian with a
                stated scale. "asymptotic": any values with a variance, for large n
    confidence  probability that all intervals contain the mean, in (0, 1)
    low, high   range that values cannot leave, stated before the data are seen; by default 0 and 1
    sd          of "normal-mixture": standard deviation of normal values, or sub-Gaussian scale of a value, > 0
    tuned_for   of "normal-mixture", "asymptotic", "beta-binomial": number of values at which the interval is nearly the
                tightest, stated before the data are seen; by default 1000
    first       of "asymptotic": number of values before the first interval, at least 2; by default 20

    Returns a ConfidenceSequence. Raises AlsimError for invalid arguments, and for arguments that the method does not
    use. "beta-binomial" needs SciPy.
    Sources: Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080; Waudby-Smith & Ramdas
    (2024), Journal of the Royal Statistical Society B 86, 1-27; Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024),
    Annals of Statistics 52, 2613-2640.
    """
    name = read_method(method, METHODS)
    given = {"confidence": confidence, "low": low, "high": high, "sd": sd, "tuned_for": tuned_for, "first": first}
    options = read_options(name, METHODS[name].uses, DEFAULTS, given)
    values = read_sequence(x)
    lower, upper = METHODS[name].limits(values, options)
    return ConfidenceSequence(method, options.confidence, _running_mean(values), lower, upper)


def _running_mean(x: Doubles) -> Doubles:
    """Return the means of the first 1, ..., n values; the mean of equal values is this value."""
    return np.asarray(x[0] + np.cumsum(x - x[0]) / np.arange(1, len(x) + 1))


def _bounded(limits: Callable[[Doubles, float], Limits]) -> Callable[[Doubles, SequenceOptions], Limits]:
    """Return the method for values in [low, high] from that for values in [0, 1]."""

    def stated_range(x: Doubles, options: SequenceOptions) -> Limits:
        check_range(x, options.low, options.high)
        lower, upper = nested(limits(options.to_unit(x), needed((1 + options.confidence) / 2)))
        return options.from_unit(lower), options.from_unit(upper)

    return stated_range


def _normal_mixture(x: Doubles, options: SequenceOptions) -> Limits:
    """Return the limits of values with a stated scale."""
    t = np.arange(1.0, len(x) + 1)
    scale = mixture_scale(options.tuned_for, options.confidence)
    half = options.sd * mixture_bound(t, scale, options.confidence) / t
    mean = _running_mean(x)
    return mean - half, mean + half


def _asymptotic(x: Doubles, options: SequenceOptions) -> Limits:
    """Return the limits of values whose variance is estimated."""
    return asymptotic_limits(x, tuned_for=options.tuned_for, first=options.first, confidence=options.confidence)


def _beta_binomial(x: Doubles, options: SequenceOptions) -> Limits:
    """Return the limits of a share."""
    check_binary(x)
    trials = np.arange(1, len(x) + 1)
    return bernoulli_interval(np.cumsum(x), trials, tuned_for=options.tuned_for, confidence=options.confidence)


class _Method(NamedTuple):
    """A method: its function, and the options that it uses."""

    limits: Callable[[Doubles, SequenceOptions], Limits]
    uses: tuple[str, ...]


METHODS: dict[str, _Method] = {
    "betting": _Method(_bounded(betting_limits), ("low", "high")),
    "empirical-bernstein": _Method(_bounded(empirical_bernstein), ("low", "high")),
    "hoeffding": _Method(_bounded(hoeffding), ("low", "high")),
    "beta-binomial": _Method(_beta_binomial, ("tuned_for",)),
    "normal-mixture": _Method(_normal_mixture, ("sd", "tuned_for")),
    "asymptotic": _Method(_asymptotic, ("tuned_for", "first")),
}
DEFAULTS: dict[str, Any] = {"low": 0.0, "high": 1.0, "sd": None, "tuned_for": TUNED_FOR, "first": FIRST}
"""Default of each option; None: it must be passed to the methods that use it."""

__all__ = ["METHODS", "ConfidenceSequence", "Method", "confidence_sequence"]
