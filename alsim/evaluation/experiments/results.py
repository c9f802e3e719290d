"""Results of tests of two arms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from alsim.errors import AlsimError
from alsim.evaluation.estimates import half_width
from alsim.evaluation.experiments.arms import Effect
from alsim.types import short_repr


@short_repr
class Arm(NamedTuple):
    """Mean of one arm."""

    mean: float
    """In the unit of the metric; with strata, weighted by the sizes of the strata in both arms."""
    n: int
    """Number of values."""
    clusters: int | None = None
    """Number of clusters; None for independent values."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, `clusters` only if there are clusters."""
        return {key: value for key, value in self._asdict().items() if value is not None}


@short_repr
@dataclass(frozen=True)
class MeanDifference:
    """Difference of the means of two arms, treatment - control, with its test."""

    difference: float
    """In the unit of the metric."""
    se: float
    """Standard error of the difference."""
    df: float
    """Degrees of freedom of Student's t; infinite for a normal distribution."""
    ci: tuple[float, float]
    """Confidence interval of the difference (low, high)."""
    p: float
    """Two-sided p-value: probability of a difference at least this far from 0, if the expected one is 0."""
    control: Arm
    treatment: Arm

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; infinite degrees of freedom are None."""
        return _json(self)


@short_repr
@dataclass(frozen=True)
class RelativeLift:
    """Relative lift (treatment - control) / control of a mean, with its test."""

    lift: float
    """0.1 is 10 % of the control mean; if that is negative, a lift above 0 is a fall."""
    se: float
    """Standard error of the lift, by the delta method."""
    df: float
    """Degrees of freedom of Student's t; infinite for a normal distribution."""
    ci: tuple[float, float]
    """Confidence interval of the lift (low, high)."""
    p: float
    """Two-sided p-value of no lift; in small samples, prefer that of the difference."""
    control: Arm
    treatment: Arm
    control_near_zero: bool
    """True if the interval of the control mean includes 0: the lift and its interval are then unreliable."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; infinite degrees of freedom are None."""
        return _json(self)


def difference_result(effect: Effect, control: Arm, treatment: Arm) -> MeanDifference:
    """Return a tested difference of one experiment."""
    return MeanDifference(*_floats(effect), control, treatment)


def lift_result(
    effect: Effect, base: float, base_se: float, control: Arm, treatment: Arm, level: float
) -> RelativeLift:
    """Return a tested lift of one experiment.

    base, base_se  mean of the control and its standard error
    level          confidence level of the interval of this mean

    Raises AlsimError for a mean of 0.
    """
    if base == 0:
        raise AlsimError("control must have a mean other than 0 for a relative lift; got 0: use the difference")
    near = abs(base) <= half_width(control.clusters or control.n, level) * base_se
    return RelativeLift(*_floats(effect), control, treatment, near)


def _floats(effect: Effect) -> tuple[float, float, float, tuple[float, float], float]:
    """Return the value, se, df, ci and p of one effect."""
    value, se, df, low, high, p = map(float, effect)
    return value, se, df, (low, high), p


def _json(result: MeanDifference | RelativeLift) -> dict[str, Any]:
    """Return the fields of a result as JSON values."""
    df = None if math.isinf(result.df) else result.df
    arms = {"control": result.control.to_dict(), "treatment": result.treatment.to_dict()}
    return vars(result) | {"df": df, "ci": [*result.ci]} | arms


__all__ = ["Arm", "MeanDifference", "RelativeLift", "difference_result", "lift_result"]
