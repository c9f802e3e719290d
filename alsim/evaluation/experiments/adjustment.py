"""Comparison of two arms adjusted by covariates of the students, measured before the assignment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.covariates import JointMoments, adjusted_tests, pooled_theta, predictions
from alsim.evaluation.experiments.designs import Design
from alsim.evaluation.experiments.means import sizes_of
from alsim.evaluation.experiments.results import MeanDifference, RelativeLift, difference_result, lift_result
from alsim.evaluation.experiments.samples import Pair, read_arms, read_like
from alsim.evaluation.statistics_input import read_confidence
from alsim.types import Doubles, short_repr


@short_repr
@dataclass(frozen=True)
class AdjustedComparison:
    """Comparison of two arms adjusted by covariates."""

    difference: MeanDifference
    """Adjusted difference; the means are those of the adjusted values."""
    lift: RelativeLift | None
    """Adjusted difference relative to the control mean without adjustment; None if this mean is 0."""
    variance_reduction: float
    """Factor by which the adjustment saves students: squared standard error without it, divided by that with it.

    Infinite if the covariates predict the metric exactly.
    """
    theta: tuple[float, ...]
    """Coefficient of each covariate, in units of the metric per unit of the covariate."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; an infinite factor is None."""
        lift = None if self.lift is None else self.lift.to_dict()
        factor = self.variance_reduction if math.isfinite(self.variance_reduction) else None
        tests = {"difference": self.difference.to_dict(), "lift": lift}
        return tests | {"variance_reduction": factor, "theta": [*self.theta]}


def cuped(
    control: ArrayLike,
    treatment: ArrayLike,
    control_before: ArrayLike,
    treatment_before: ArrayLike,
    *,
    strata: Pair | None = None,
    clusters: Pair | None = None,
    confidence: float = CONFIDENCE,
) -> AdjustedComparison:
    """Test two arms by a metric minus its part that covariates before the assignment predict (CUPED).

        y - theta (x - mean of x),  theta = cov(y, x) / var(x) over both arms together

    The expected difference is the same, and its error is smaller by 1 - correlation^2. A covariate measured after the
    assignment may be changed by the treatment, and would remove a part of its effect.

    control, treatment   (n_c,) and (n_t,) values of the metric, at least 2 each
    control_before, ...  (n_c,) and (n_t,) covariate, or (n_c, K) and (n_t, K) of K covariates, without NaN
    strata, clusters     see `compare_means`; theta is the same in all strata
    confidence           level of the intervals, in (0, 1)

    Returns an AdjustedComparison; a covariate that does not vary adjusts nothing. Raises AlsimError for invalid
    arguments.
    Source: Deng, Xu, Kohavi & Walker (2013), WSDM, 123-132; theta and the variance of the lift as in gbstats 0.8.
    """
    values = read_arms(control, treatment)
    before = _read_before(control_before, treatment_before, values)
    design, level = Design.read(values, strata, clusters), read_confidence(confidence)
    joint = [JointMoments.of(y, x) for y, x in zip(values, before, strict=True)]
    theta = pooled_theta(joint[0], joint[1])
    predicted = predictions(theta, before)
    plain, after = design.means(*values), values[1] - predicted[1]
    base = float(plain.control)
    r = float(plain.treatment) / base if base else 1.0
    arms, relative = (design.means(factor * values[0] - predicted[0], after) for factor in (1.0, r))
    found = adjusted_tests(arms, relative, plain, np.asarray(base or np.nan), theta, level)
    described = design.describe(arms, sizes_of(values))
    lift = None
    if base:
        lift = lift_result(found.lift, base, math.sqrt(float(plain.control_variance)), *described, level)
    return AdjustedComparison(
        difference_result(found.difference, *described), lift, float(found.variance_reduction), tuple(theta.tolist())
    )


def _read_before(control: ArrayLike, treatment: ArrayLike, values: tuple[Doubles, Doubles]) -> tuple[Doubles, Doubles]:
    """Return the covariates of both arms, (n_c, K) and (n_t, K). Raises AlsimError."""
    found = []
    for given, y, arm in ((control, values[0], "control"), (treatment, values[1], "treatment")):
        name, array = f"{arm}_before", np.asanyarray(given)
        if array.ndim == 2 and array.shape[1] == 0:
            raise AlsimError(f"{name} must have at least 1 covariate; got 0: use compare_means without one")
        columns = array.T if array.ndim == 2 else [given]
        found.append(np.stack([read_like(column, name, y, arm) for column in columns], axis=1))
    if found[0].shape[1] != found[1].shape[1]:
        raise AlsimError(
            f"control_before and treatment_before must have the same covariates; got {found[0].shape[1]} and "
            f"{found[1].shape[1]}: pass the same columns"
        )
    return found[0], found[1]


__all__ = ["AdjustedComparison", "cuped"]
