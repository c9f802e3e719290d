"""Comparison of ratio metrics: sums over students divided by sums over students."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.arms import difference, lift
from alsim.evaluation.experiments.designs import Design
from alsim.evaluation.experiments.means import sizes_of
from alsim.evaluation.experiments.results import MeanDifference, RelativeLift, difference_result, lift_result
from alsim.evaluation.experiments.samples import Pair, read_like, read_sample
from alsim.evaluation.statistics_input import read_confidence
from alsim.types import Doubles, short_repr


@short_repr
class RatioComparison(NamedTuple):
    """Difference and relative lift of the ratios of two arms; the means of the arms are their ratios."""

    difference: MeanDifference
    lift: RelativeLift

    def to_dict(self) -> dict[str, Any]:
        """Return both tests as JSON values."""
        return {"difference": self.difference.to_dict(), "lift": self.lift.to_dict()}


def compare_ratios(
    control_numerator: ArrayLike,
    control_denominator: ArrayLike,
    treatment_numerator: ArrayLike,
    treatment_denominator: ArrayLike,
    *,
    clusters: Pair | None = None,
    confidence: float = CONFIDENCE,
) -> RatioComparison:
    """Test the difference and the lift of ratios of sums, such as correct answers per answer.

        r = sum of y / sum of x,  se^2 = s^2 / n,  s^2 = variance of (y - r x) / mean of x

    The unit is the student: interactions of a student are not independent, so that a test of all interactions would
    have too small errors.

    control_numerator, control_denominator  (n_c,) sums y and x of each student, n_c >= 2; x is at least 0, and some
                                            are positive
    treatment_numerator, ...                (n_t,) the same of the treatment
    clusters                                pair of arrays (n_c,) and (n_t,): class of each student, see `compare_means`
    confidence                              level of the intervals, in (0, 1)

    Returns a RatioComparison. Raises AlsimError for invalid arguments, and for a control ratio of 0.
    Source: Deng, Knoblich & Lu (2018), KDD, 233-242.
    """
    values = (
        _read_linearized(control_numerator, control_denominator, "control"),
        _read_linearized(treatment_numerator, treatment_denominator, "treatment"),
    )
    design, level = Design.read(values, None, clusters), read_confidence(confidence)
    means = design.means(*values)
    described, base_se = design.describe(means, sizes_of(values)), math.sqrt(float(means.control_variance))
    return RatioComparison(
        difference_result(difference(means, level), *described),
        lift_result(lift(means, level), float(means.control), base_se, *described, level),
    )


def linearized(numerator: NDArray[np.floating], denominator: NDArray[np.floating]) -> Doubles:
    """Return values (..., n) whose mean is the ratio, and whose standard error is that of the ratio.

        r + (y - r x) / mean of x,  r = sum of y / sum of x

    numerator, denominator  (..., n) sums y and x of each student
    """
    y, x = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    mean = x.mean(axis=-1, keepdims=True)
    r = y.mean(axis=-1, keepdims=True) / mean
    return np.asarray(r + (y - r * x) / mean)


def _read_linearized(numerator: ArrayLike, denominator: ArrayLike, arm: str) -> Doubles:
    """Return the linearized values of an arm (n,). Raises AlsimError for invalid sums."""
    y = read_sample(numerator, f"{arm}_numerator")
    x = read_like(denominator, f"{arm}_denominator", y, f"{arm}_numerator")
    if (wrong := x < 0).any():
        raise AlsimError(
            f"{arm}_denominator must be at least 0; got {x[wrong][0]:g} at index {int(wrong.argmax())}: pass counts or "
            "times"
        )
    if not x.any():
        raise AlsimError(f"{arm}_denominator must have a positive value; all {len(x)} are 0: test another metric")
    return linearized(y, x)


__all__ = ["RatioComparison", "compare_ratios", "linearized"]
