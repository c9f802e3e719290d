"""Adjustment of the means of two arms by covariates measured before the assignment, from joint moments."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.arms import ArmMeans, Effect, difference, independent_arms, tested
from alsim.evaluation.experiments.moments import Moments
from alsim.types import Doubles, short_repr

COLLINEAR = 1e-10
"""Smallest eigenvalue of the correlations of covariates, relative to the largest, that is not taken for 0."""


@short_repr
class JointMoments(NamedTuple):
    """Moments of a metric with K covariates; arrays with leading axes (...,) for many samples."""

    n: Doubles
    """Number of students (...,)."""
    mean: Doubles
    """Mean of the metric (...,)."""
    variance: Doubles
    """Its unbiased variance (...,)."""
    before_mean: Doubles
    """Means of the covariates (..., K)."""
    before_covariance: Doubles
    """Their unbiased covariance matrix (..., K, K)."""
    covariance: Doubles
    """Unbiased covariance of the metric with each covariate (..., K)."""

    @classmethod
    def of(cls, values: NDArray[np.floating], before: NDArray[np.floating]) -> Self:
        """Return the joint moments of values (..., n) and covariates (..., n, K)."""
        y, x = Moments.of(values), np.asarray(before, np.float64)
        first = x[..., :1, :]
        mean = first[..., 0, :] + (x - first).mean(axis=-2)
        rest = x - mean[..., np.newaxis, :]
        scale = 1 / (y.n[..., np.newaxis] - 1)
        deviation = (np.asarray(values, np.float64) - y.mean[..., np.newaxis])[..., np.newaxis]
        return cls(
            *y,
            mean,
            np.swapaxes(rest, -1, -2) @ rest * scale[..., np.newaxis],
            (rest * deviation).sum(axis=-2) * scale,
        )

    def combined(self, factor: Any, theta: Doubles) -> Moments:
        """Return the moments of factor y - theta x, for factors (...,) and theta (..., K)."""
        explained = np.einsum("...j,...jk,...k->...", theta, self.before_covariance, theta)
        shared = (theta * self.covariance).sum(axis=-1)
        variance = np.maximum(factor**2 * self.variance - 2 * factor * shared + explained, 0.0)
        return Moments(self.n, factor * self.mean - (theta * self.before_mean).sum(axis=-1), variance)


def pooled_theta(control: JointMoments, treatment: JointMoments) -> Doubles:
    """Return the coefficients (..., K) of the regression of the metric on the covariates over both arms together.

    A covariate that does not vary has the coefficient 0; of collinear ones, the shortest solution is taken.
    """
    shift_y = treatment.mean - control.mean
    shift_x = treatment.before_mean - control.before_mean
    between = control.n * treatment.n / (control.n + treatment.n)
    own = [np.asarray(arm.n - 1) for arm in (control, treatment)]

    def pooled(name: str, axes: int, shift: Doubles) -> Doubles:
        """Return a sum of products over both arms: within the arms, and between them."""
        fill = (..., *(np.newaxis,) * axes)
        terms = (n[fill] * getattr(arm, name) for n, arm in zip(own, (control, treatment), strict=True))
        return np.asarray(sum(terms) + between[fill] * shift)

    squares = pooled("before_covariance", 2, shift_x[..., :, np.newaxis] * shift_x[..., np.newaxis, :])
    products = pooled("covariance", 1, shift_x * shift_y[..., np.newaxis])
    size = np.sqrt(np.diagonal(squares, axis1=-2, axis2=-1))
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    correlations = squares * inverse[..., np.newaxis] * inverse[..., np.newaxis, :]
    solved = np.linalg.pinv(correlations, rcond=COLLINEAR, hermitian=True) @ (products * inverse)[..., np.newaxis]
    return np.asarray(solved[..., 0] * inverse)


def predictions(theta: Doubles, before: tuple[Doubles, Doubles]) -> tuple[Doubles, Doubles]:
    """Return the part of the metric of each student that covariates predict, centred over both arms.

    theta   coefficients (..., K), see `pooled_theta`
    before  covariates (..., n, K) of control and treatment

    Returns values (..., n) of both arms, to be subtracted from the metric.
    """
    center = np.concatenate(before, axis=-2).mean(axis=-2, keepdims=True)
    control, treatment = (np.einsum("...nk,...k->...n", x - center, theta) for x in before)
    return np.asarray(control), np.asarray(treatment)


@short_repr
class Adjusted(NamedTuple):
    """Tests of two arms adjusted by covariates; arrays (...,) for many experiments."""

    difference: Effect
    lift: Effect
    """Adjusted difference relative to the control mean without adjustment; NaN where that is 0."""
    variance_reduction: Doubles
    """Squared standard error of the difference without adjustment, divided by that with it."""
    theta: Doubles
    """Coefficients of the covariates (..., K)."""


def adjust(control: JointMoments, treatment: JointMoments, confidence: float = CONFIDENCE) -> Adjusted:
    """Test two arms adjusted by covariates, see `alsim.evaluation.experiments.cuped`.

    control, treatment  joint moments (...,)
    confidence          level of the intervals, in (0, 1)

    Returns an Adjusted (...,).
    """
    theta = pooled_theta(control, treatment)
    base = np.where(control.mean == 0, np.nan, control.mean)
    arms = independent_arms(control.combined(1.0, theta), treatment.combined(1.0, theta))
    relative = independent_arms(control.combined(treatment.mean / base, theta), treatment.combined(1.0, theta))
    plain = independent_arms(Moments(*control[:3]), Moments(*treatment[:3]))
    return adjusted_tests(arms, relative, plain, base, theta, confidence)


def adjusted_tests(
    arms: ArmMeans, relative: ArmMeans, plain: ArmMeans, base: Doubles, theta: Doubles, confidence: float
) -> Adjusted:
    """Return the tests of adjusted arms.

    arms      means of y - theta x
    relative  those of r y - theta x in the control, r = treatment / control, and of y - theta x in the treatment
    plain     those of y
    base      mean of y in the control, or NaN
    """
    variances = [one.control_variance + one.treatment_variance - 2 * one.covariance for one in (arms, relative, plain)]
    reduction = np.where(variances[2] > 0, np.inf, 1.0)
    np.divide(variances[2], variances[0], out=reduction, where=variances[0] > 0)
    value = (arms.treatment - arms.control) / base
    return Adjusted(
        difference(arms, confidence), tested(value, variances[1] / base**2, arms, confidence), reduction, theta
    )


__all__ = ["Adjusted", "JointMoments", "adjust", "adjusted_tests", "pooled_theta", "predictions"]
