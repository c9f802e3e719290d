"""Anytime-valid tests from an estimate and its standard error: of a mean, a difference, a lift, or any other estimate.

They hold for large numbers of values: the standard error is estimated, and the estimate is treated as normal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.mixture import TUNED_FOR, log_mixture, mixture_bound, mixture_scale
from alsim.evaluation.experiments.moments import Moments
from alsim.evaluation.statistics_input import read_confidence, read_count, read_number
from alsim.types import Doubles, short_repr

FIRST = 20
"""Default number of independent values before the first interval: with fewer, standard errors are too uncertain."""


@short_repr
class AnytimeTest(NamedTuple):
    """Anytime-valid test of one estimate, or of arrays (...,) of estimates."""

    estimate: Doubles
    """The estimate that is compared with 0, such as a difference of means."""
    se: Doubles
    """Its standard error, in the same unit."""
    lower: Doubles
    """Lower confidence limit, in the same unit; -inf if nothing is excluded."""
    upper: Doubles
    """Upper confidence limit, in the same unit; inf if nothing is excluded."""
    p: Doubles
    """Anytime-valid p-value of an expectation of 0, in [0, 1]. The smallest one so far is valid, too."""


def anytime_test(
    estimate: ArrayLike,
    squared_error: ArrayLike,
    n: ArrayLike,
    *,
    tuned_for: float = TUNED_FOR,
    first: int = FIRST,
    confidence: float = CONFIDENCE,
) -> AnytimeTest:
    """Test an estimate at any number of looks, by an asymptotic confidence sequence.

        estimate ± se sqrt((1 + 1/k) (log(1 + k) + 2 log(1 / alpha))),   k = n / rho
        p = min(1, sqrt(1 + k) exp(-z^2 k / (2 (1 + k)))),   z = estimate / se

    The intervals after all numbers of values from `first` on contain the expectation at the same time, with about the
    stated probability. See `mixture_scale` for rho.

    estimate       (...,) mean, difference, lift, or another estimate that is approximately normal
    squared_error  (...,) squared standard error, >= 0: 0 and infinity give no information, since values that are all
                   equal do not tell their variance
    n              (...,) number of independent values: of both arms together, of clusters if clusters are independent
    tuned_for      number of values at which the interval is nearly the tightest, chosen before the data are seen
    first          least number of values for an interval; with fewer, the limits are infinite and p is 1
    confidence     1 - alpha, in (0, 1)

    Returns an AnytimeTest with numbers, or with arrays of the common shape. Raises AlsimError for invalid arguments.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Annals of Statistics 52, 2613-2640, theorem 2.2;
    Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821, for p.
    """
    level, scale = read_confidence(confidence), mixture_scale(_tuned(tuned_for), read_confidence(confidence))
    least = read_count(first, "first", 2, 2**53, "pass a number of values")
    center, square, count = _read(estimate, squared_error, n)
    known = (square > 0) & (count >= least)
    se = np.sqrt(np.where(known, square, np.inf))
    half = se * mixture_bound(count, scale, level) / np.sqrt(count)
    evidence = log_mixture(center / se * np.sqrt(count), count, scale)
    p = np.exp(-np.maximum(evidence, 0.0))
    return AnytimeTest(*(value[()] for value in (center, np.sqrt(square), center - half, center + half, p)))


def asymptotic_difference(
    control: Moments,
    treatment: Moments,
    *,
    tuned_for: float = TUNED_FOR,
    first: int = FIRST,
    confidence: float = CONFIDENCE,
) -> AnytimeTest:
    """Test the difference of the means of two arms at any number of looks.

    The standard error is that of independent arms with different variances. Arms may hold many experiments, or looks
    at one experiment, at once: fields (...,) of both arms broadcast.

    control, treatment  moments of the arms so far; an arm with one value has no variance, so it excludes nothing

    The other arguments are those of `anytime_test`; values of both arms count. Returns an AnytimeTest of treatment -
    control. Raises AlsimError for invalid arguments, such as an empty arm.
    """
    for name, arm in (("control", control), ("treatment", treatment)):
        if not isinstance(arm, Moments):
            raise InputTypeError(f"{name} must be Moments; got {type(arm).__name__}: pass Moments.of(values)")
        if (np.asarray(arm.n) < 1).any():
            raise AlsimError(f"{name} must have at least one value; got 0: wait for the first student of each arm")
    squares = [np.where(np.asarray(arm.n) < 2, np.inf, arm.squared_error) for arm in (control, treatment)]
    return anytime_test(
        treatment.mean - control.mean,
        squares[0] + squares[1],
        control.n + treatment.n,
        tuned_for=tuned_for,
        first=first,
        confidence=confidence,
    )


def asymptotic_limits(x: Doubles, *, tuned_for: float, first: int, confidence: float) -> tuple[Doubles, Doubles]:
    """Return the limits of the mean after each of values (..., n), in order of arrival; arguments are not checked."""
    count = np.arange(1.0, x.shape[-1] + 1)
    shifted = x - x[..., :1]  # sums of squares of large equal numbers would lose all digits
    total = np.cumsum(shifted, axis=-1)
    squares = np.cumsum(shifted**2, axis=-1) - total**2 / count
    # Differences of rounded sums are not exactly 0 for equal values.
    squares = np.where(squares > 1e-12 * np.cumsum(shifted**2, axis=-1), squares, 0.0)
    found = anytime_test(
        x[..., :1] + total / count,
        squares / np.maximum(count - 1, 1) / count,
        np.broadcast_to(count, x.shape),
        tuned_for=tuned_for,
        first=first,
        confidence=confidence,
    )
    return found.lower, found.upper


def _tuned(tuned_for: Any) -> float:
    """Return the number of values for which a bound is tuned. Raises AlsimError for others."""
    size = read_number(tuned_for, "tuned_for", "pass a number of values, such as the planned one")
    if size <= 0:
        raise AlsimError(f"tuned_for must be positive; got {size:g}: pass a number of values, such as the planned one")
    return size


def _read(estimate: ArrayLike, squared_error: ArrayLike, n: ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
    """Return the three arguments as float64 of the common shape. Raises AlsimError for others."""
    given = {"estimate": np.asarray(estimate), "squared_error": np.asarray(squared_error), "n": np.asarray(n)}
    for name, array in given.items():
        if array.dtype.kind not in "iuf":
            raise InputTypeError(f"{name} must be numbers; got {array.dtype}: convert them")
    center, square, count = np.broadcast_arrays(*(array.astype(np.float64) for array in given.values()))
    checks = (
        (
            "estimate",
            center,
            np.isfinite(center),
            "finite",
            "pass 0 with an infinite squared_error where it is unknown",
        ),
        ("squared_error", square, square >= 0, "at least 0", "pass infinity where it is unknown"),
        ("n", count, (count >= 1) & np.isfinite(count), "at least 1", "pass the number of independent values"),
    )
    for name, array, valid, expected, cure in checks:
        if not valid.all():
            raise AlsimError(f"{name} must be {expected}; got {array[~valid][0]:g}: {cure}")
    return center, square, count


__all__ = ["FIRST", "AnytimeTest", "anytime_test", "asymptotic_difference", "asymptotic_limits"]
