"""Maximum of the likelihood of half-life regression by Newton's method, and standard errors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.hlr.likelihood import Coefficients, Reviews, penalised, slopes
from alsim.types import Doubles, short_repr

SMALLEST_PART = 2.0**-30
"""Smallest part of a step that is tried."""
STARTS = 1 / 24, 1.0, 30.0
"""Half-lives at which Newton's method starts, days."""
LARGEST_MOVE = 4.0
"""Largest change of log2 of a half-life by one step: beyond the bounds of a half-life, the likelihood is flat."""
LEAST_INFORMATION = 1e-10
"""Smallest eigenvalue of the information about the weights, relative to the largest one, that counts as information."""


@short_repr
class Information(NamedTuple):
    """Information matrix [[shared, cross], [cross', diag(own)]] of weights and intercepts, with the penalty."""

    shared: Doubles
    """Block of the weights, (3, 3)."""
    cross: Doubles
    """Block of weights and intercepts, (3, K)."""
    own: Doubles
    """Diagonal of the block of the intercepts, (K,); the rest is 0."""

    @classmethod
    def of(cls, reviews: Reviews, curvature: Doubles, size: int, penalty: float) -> Information:
        """Return the matrix, given minus the second derivative of each answer (M,), for K = `size` skills."""
        weighted = curvature[:, None] * reviews.features
        cross = np.stack([np.bincount(reviews.skill, column, minlength=size) for column in weighted.T]).astype(
            np.float64
        )
        own = np.bincount(reviews.skill, curvature, minlength=size) + penalty
        return cls(weighted.T @ reviews.features, cross, np.asarray(own, np.float64))

    @property
    def reduced(self) -> Doubles:
        """Information about the weights with unknown intercepts: the Schur complement, (3, 3)."""
        return np.asarray(self.shared - (self.cross / self.own) @ self.cross.T)

    @property
    def is_positive(self) -> bool:
        """True if the matrix is positive definite, by a margin."""
        if not (self.own > 0).all():
            return False
        values = np.linalg.eigvalsh(self.reduced)
        return bool(values[0] > LEAST_INFORMATION * values[-1] > 0)

    def solve(self, gradient: Coefficients) -> Coefficients:
        """Return the product of the inverse matrix and a gradient."""
        weights = np.linalg.solve(self.reduced, gradient.weights - (self.cross / self.own) @ gradient.intercepts)
        return Coefficients(np.asarray(weights, np.float64), (gradient.intercepts - weights @ self.cross) / self.own)

    def standard_errors(self) -> Coefficients:
        """Return the square roots of the diagonal of the inverse matrix."""
        covariance, ratio = np.linalg.inv(self.reduced), self.cross / self.own
        variance = 1 / self.own + np.einsum("ik,ij,jk->k", ratio, covariance, ratio)
        return Coefficients(np.sqrt(np.diag(covariance)), np.sqrt(variance))


@short_repr
class Maximum(NamedTuple):
    """Maximum of the penalised likelihood; `iterations` and `converged` are defined in `Fit`."""

    at: Coefficients
    errors: Coefficients
    value: float
    iterations: int
    converged: bool


def best_maximum(reviews: Reviews, size: int, penalty: float, tolerance: float, max_iterations: int) -> Maximum:
    """Return the largest of the maxima found from several half-lives, see `maximise`.

    size  number of skills

    With guessing, or where half-lives reach their bounds, the likelihood may have several maxima. Raises ModelError for
    answers that do not determine the weights.
    """
    found, fault = [], None
    for days in STARTS:
        start = Coefficients(np.array([0.0, 0.0, np.log2(days)]), np.zeros(size))
        try:
            found.append(maximise(reviews, start, penalty, tolerance, max_iterations))
        except ModelError as error:
            fault = error
    if fault is not None and not found:
        raise fault
    return max(found, key=lambda maximum: maximum.value)


def maximise(reviews: Reviews, start: Coefficients, penalty: float, tolerance: float, max_iterations: int) -> Maximum:
    """Return the maximum of the penalised log-likelihood, see `penalised`.

    tolerance  largest component of the gradient at convergence, nats per answer

    A step is that of Newton with the observed information, or with the expected one where the observed one is not
    positive; it is halved until the likelihood grows. Raises ModelError for answers that do not determine the weights.
    """
    at, converged, iteration = start, False, 0
    limit = tolerance * float(reviews.weight.sum())
    while True:
        gradient, information = _local(reviews, at, penalty)
        largest = max(np.abs(gradient.weights).max(), np.abs(gradient.intercepts).max(initial=0.0))
        converged = bool(largest <= limit)
        if converged or iteration == max_iterations:
            break
        iteration += 1
        if (better := _ascend(reviews, at, information.solve(gradient), penalty)) is None:
            break
        at = better
    return Maximum(at, information.standard_errors(), penalised(reviews, at, penalty), iteration, converged)


def _local(reviews: Reviews, at: Coefficients, penalty: float) -> tuple[Coefficients, Information]:
    """Return gradient and information; the expected one where the observed one is not positive. Raises ModelError."""
    found, size = slopes(reviews, at), len(at.intercepts)
    own = np.bincount(reviews.skill, found.first, minlength=size)
    pulled = np.zeros(size) if np.isinf(penalty) else own - penalty * at.intercepts
    gradient = Coefficients(found.first @ reviews.features, pulled)
    for curvature in (found.observed, found.expected):
        information = Information.of(reviews, curvature, size, penalty)
        if information.is_positive:
            return gradient, information
    raise ModelError(
        "half-life regression: the answers do not determine the three weights, because the numbers of earlier correct "
        "and wrong answers, or the times, vary too little: pass a log in which skills are practised more often"
    )


def _ascend(reviews: Reviews, at: Coefficients, step: Coefficients, penalty: float) -> Coefficients | None:
    """Return the parameters after a part of a step that raises the likelihood: all, half, a quarter, …; or None."""
    value, move = penalised(reviews, at, penalty), reviews.features @ step.weights + step.intercepts[reviews.skill]
    part = min(1.0, LARGEST_MOVE / max(float(np.abs(move).max()), LARGEST_MOVE))
    while part >= SMALLEST_PART:
        if penalised(reviews, new := at.plus(step, part), penalty) >= value:
            return new
        part /= 2
    return None


__all__ = ["Information", "Maximum", "best_maximum", "maximise"]
