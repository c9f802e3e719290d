"""The logistic function, and regression by it on sparse features: fitted by scikit-learn, forecast by NumPy alone."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.responses.log import Responses
from alsim.types import Doubles, Longs
from alsim.utils.optional import require

MOST_DENSE = 4000
"""Coefficients up to which the whole information matrix is held: 128 MB, and a second to factorise."""


class Features(NamedTuple):
    """Numbers of R responses, row by row; what a row does not name is 0.

    value   (Z,)   the numbers
    column  (Z,)   int64, where each belongs
    start   (R+1,) the numbers of response r are value[start[r]:start[r + 1]]; each response has at least one
    """

    value: Doubles
    column: Longs
    start: Longs

    def logits(self, coefficients: Doubles) -> Doubles:
        """Return the sum (R,) of each row's numbers times their coefficients."""
        if len(self.start) == 1:
            return np.empty(0)
        return np.asarray(np.add.reduceat(self.value * coefficients[self.column], self.start[:-1]))

    def sparse(self, num_columns: int, what: str) -> Any:
        """Return the same as a sparse matrix of SciPy's, for what `what` names; numbers at one place are added up."""
        sparse = require("scipy.sparse", "baselines", what)
        shape = (len(self.start) - 1, num_columns)
        matrix = sparse.csr_matrix((self.value, self.column, self.start), shape=shape, copy=True)  # the next line sorts
        matrix.sum_duplicates()
        return matrix


class Settings(NamedTuple):
    """How a regression is fitted.

    penalty         on the squares of all coefficients but an intercept, halved: as a normal prior of mean 0 and
                    variance 1 / penalty
    tolerance       of the largest component of the penalised log-likelihood's gradient, for each response
    max_iterations  of Newton's method
    """

    penalty: float
    tolerance: float
    max_iterations: int


class Regression(NamedTuple):
    """A fitted logistic regression; `iterations` and `converged` as of a fit."""

    coefficients: Doubles
    intercept: float
    iterations: int
    converged: bool


def logistic(logit: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-logit)), for any finite logit: of small relative error below 0, too."""
    small = np.exp(-np.abs(logit))
    return np.asarray(np.where(logit >= 0, 1.0, small) / (1.0 + small))


def log_likelihood(correct: np.ndarray, logit: Doubles, weight: Doubles) -> float:
    """Of responses (R,) under such logits, nats."""
    signed = np.where(correct == 1, logit, -logit)
    return float(-(weight * np.logaddexp(0.0, -signed)).sum())


def check(responses: Responses, settings: Settings, what: str) -> None:
    """Raise MissingExtra without scikit-learn, ModelError for what no regression can be fitted to, or with."""
    require("sklearn.linear_model", "baselines", what)
    penalty, tolerance, max_iterations = settings
    for name, value in (("penalty", penalty), ("tolerance", tolerance)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ModelError(f"{what}: {name} is a number above 0; got {value!r}")
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 1:
        raise ModelError(f"{what}: max_iterations is a count above 0; got {max_iterations!r}")
    correct = responses.correct[responses.weight[responses.student] > 0]
    if len(correct) == 0:
        raise ModelError(f"{what} wants responses; got none")
    if correct.min() == correct.max():
        kind = "correct" if correct[0] else "wrong"
        raise ModelError(f"{what} wants responses of both kinds; all {len(correct):,} are {kind}")


def regress(
    matrix: Any, correct: np.ndarray, weight: Doubles, settings: Settings, *, intercept: bool, what: str
) -> Regression:
    """Maximise the penalised log-likelihood.

        sum_r weight_r log P(correct_r) - penalty / 2 sum_p coefficient_p^2

    matrix     (R, P), sparse
    correct    (R,) 0 and 1, both
    weight     (R,) how often each response counts
    intercept  whether there is one, which is not penalised
    what       is fitted; begins the sentence if scikit-learn is missing

    By Newton's method: with the whole matrix of second derivatives up to MOST_DENSE coefficients, beyond by
    conjugate gradients.
    """
    linear = require("sklearn.linear_model", "baselines", what)
    solver = "newton-cholesky" if matrix.shape[1] <= MOST_DENSE else "newton-cg"
    model = linear.LogisticRegression(
        C=1.0 / settings.penalty,
        fit_intercept=intercept,
        solver=solver,
        tol=settings.tolerance,
        max_iter=settings.max_iterations,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether it has converged is for the gradient to say
        model.fit(matrix, correct, sample_weight=weight)
    coefficients = np.asarray(model.coef_[0], np.float64)
    constant = float(model.intercept_[0]) if intercept else 0.0
    residual = weight * (correct - logistic(matrix @ coefficients + constant))
    gradient = np.abs(matrix.T @ residual - settings.penalty * coefficients).max()
    slope = max(gradient, abs(residual.sum()) if intercept else 0.0)
    converged = bool(slope <= settings.tolerance * weight.sum())
    return Regression(coefficients, constant, int(model.n_iter_[0]), converged)
