"""Values in a stated range: intervals for a planned number of values, and differences of two arms at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from numpy.typing import ArrayLike

from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.betting import betting_interval
from alsim.evaluation.experiments.mixture import needed
from alsim.evaluation.experiments.predictable import Limits, empirical_bernstein, hoeffding, nested
from alsim.evaluation.experiments.sequence_input import check_range, read_method, read_options, read_sequence
from alsim.evaluation.experiments.sequences import DEFAULTS, confidence_sequence
from alsim.evaluation.statistics_input import read_confidence
from alsim.types import Doubles

BoundedMethod = Literal["betting", "empirical-bernstein", "hoeffding"]
"""Method for values in a stated range."""


def planned_interval(
    x: ArrayLike,
    method: BoundedMethod = "betting",
    *,
    low: float = 0.0,
    high: float = 1.0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Compute the interval of a mean for one planned number of values, which holds for every such number.

    It is narrower than the confidence sequence at this number, and valid at this number only.

    x           (n,) independent values in [low, high] with a common mean; n was planned before the data were seen
    method      "betting", "empirical-bernstein" or "hoeffding"
    low, high   range that values cannot leave, stated before the data are seen
    confidence  probability that the interval contains the mean, in (0, 1)

    Returns (lower, upper), within the range. The first two methods use the order of the values: permuted values give
    another interval, also valid. Raises AlsimError for invalid arguments.
    Source: Waudby-Smith & Ramdas (2024), Journal of the Royal Statistical Society B 86, 1-27, sections 3.3 and 4.3.
    """
    name = read_method(method, INTERVALS)
    given = {"confidence": confidence, "low": low, "high": high}
    options = read_options(name, ("low", "high"), DEFAULTS, given)
    values = read_sequence(x)
    check_range(values, options.low, options.high)
    ends = INTERVALS[name](options.to_unit(values), needed((1 + options.confidence) / 2))
    lower, upper = (float(options.from_unit(end)) for end in ends)
    return lower, upper


def bounded_difference(
    control: ArrayLike,
    treatment: ArrayLike,
    method: BoundedMethod = "betting",
    *,
    low: float = 0.0,
    high: float = 1.0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Compute the anytime-valid interval of a difference of two means, such as shares, without any approximation.

        (lower of treatment - upper of control, upper of treatment - lower of control)

    Each arm has a confidence sequence at the level 1 - alpha / 2. The probability that either ever excludes its mean is
    at most alpha, so the interval holds at all looks, at any numbers of values of the arms.

    control, treatment  (n,) and (m,) values in [low, high] so far, in order of arrival; arms are independent or not

    The other arguments are those of `planned_interval`. Returns (lower, upper), which is wider than the asymptotic
    interval of `asymptotic_difference`. Raises AlsimError for invalid arguments.
    """
    name: Any = read_method(method, INTERVALS)
    level = (1 + read_confidence(confidence)) / 2
    ends: list[tuple[float, float]] = []
    for label, arm in (("control", control), ("treatment", treatment)):
        values = read_sequence(arm, label)
        check_range(values, low, high, label)
        ends.append(confidence_sequence(values, name, confidence=level, low=low, high=high).at(len(values)))
    (control_low, control_high), (treatment_low, treatment_high) = ends
    return treatment_low - control_high, treatment_high - control_low


def _last(limits: Limits) -> tuple[Any, Any]:
    """Return the limits after all values."""
    return limits[0][-1], limits[1][-1]


INTERVALS: dict[str, Callable[[Doubles, float], tuple[Any, Any]]] = {
    "betting": betting_interval,
    "empirical-bernstein": lambda x, needed: _last(empirical_bernstein(x, needed, len(x))),
    "hoeffding": lambda x, needed: _last(nested(hoeffding(x, needed, len(x)))),
}
"""Interval of each method for values in [0, 1], from log(2 / alpha)."""

__all__ = ["BoundedMethod", "bounded_difference", "planned_interval"]
