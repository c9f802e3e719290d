"""Logistic function, and penalised logistic regression on sparse features.

Fitting needs scikit-learn; predictions need only NumPy.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.outcomes import Outcomes
from alsim.responses.log import Responses
from alsim.types import Doubles, Longs
from alsim.utils.optional import require

MOST_DENSE = 4000
"""Largest number of coefficients for which the full information matrix is stored: 128 MB, factorised in a second."""


class Features(NamedTuple):
    """Sparse matrix of features, one row per response; entries that are not stored are 0.

    value   (Z,)   entries
    column  (Z,)   int64, column of each entry
    start   (R+1,) int64; row r has the entries value[start[r]:start[r + 1]], at least one
    """

    value: Doubles
    column: Longs
    start: Longs

    def logits(self, coefficients: Doubles) -> Doubles:
        """Return the product (R,) of the matrix and the coefficients (P,)."""
        if len(self.start) == 1:
            return np.empty(0)
        return np.asarray(np.add.reduceat(self.value * coefficients[self.column], self.start[:-1]))

    def sparse(self, num_columns: int, model_name: str) -> Any:
        """Return a SciPy sparse matrix (R, num_columns); entries with the same row and column are added.

        model_name  name of the model, for the message of MissingExtra
        """
        sparse = require("scipy.sparse", "baselines", model_name)
        shape = (len(self.start) - 1, num_columns)
        # A copy, because sum_duplicates sorts the arrays in place.
        matrix = sparse.csr_matrix((self.value, self.column, self.start), shape=shape, copy=True)
        matrix.sum_duplicates()
        return matrix


class Settings(NamedTuple):
    """Settings of a regression.

    penalty         factor of half the sum of squared coefficients, without the intercept; equivalent to a normal prior
                    with mean 0 and variance 1 / penalty
    tolerance       largest component of the gradient of the penalised log-likelihood, per response, at convergence
    max_iterations  limit of iterations of Newton's method
    """

    penalty: float
    tolerance: float
    max_iterations: int


class Regression(NamedTuple):
    """A fitted logistic regression; `iterations` and `converged` are defined in `Fit`."""

    coefficients: Doubles
    intercept: float
    iterations: int
    converged: bool


def logistic(logit: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-logit)), accurate to rounding for any finite logit."""
    decay = np.exp(-np.abs(logit))
    return np.asarray(np.where(logit >= 0, 1.0, decay) / (1.0 + decay))


def log_likelihood(outcomes: Outcomes, logit: Doubles, weight: Doubles) -> float:
    """Return the log-likelihood of outcomes (R,), each with a logit and a weight, in nats.

    That of credit y is y log P + (1 - y) log(1 - P), a quasi-likelihood.
    """
    loss = outcomes * np.logaddexp(0.0, -logit) + (1 - outcomes) * np.logaddexp(0.0, logit)
    return float(-(weight * loss).sum())


def check(responses: Responses, outcomes: Outcomes, settings: Settings, model_name: str) -> None:
    """Check that a regression can be fitted.

    outcomes    outcome of each response
    model_name  name of the model, for messages

    Raises MissingExtra without scikit-learn, and ModelError for invalid settings and for responses that are missing or
    all equal.
    """
    require("sklearn.linear_model", "baselines", model_name)
    penalty, tolerance, max_iterations = settings
    for name, value in (("penalty", penalty), ("tolerance", tolerance)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ModelError(f"{model_name}: {name} must be a number above 0; got {value!r}")
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 1:
        raise ModelError(f"{model_name}: max_iterations must be an integer of at least 1; got {max_iterations!r}")
    correct = outcomes[responses.weight[responses.student] > 0]
    if len(correct) == 0:
        raise ModelError(f"{model_name} needs responses; got none: pass a log with at least one")
    if correct.min() == correct.max() and correct[0] in (0, 1):
        kind = "correct" if correct[0] else "wrong"
        raise ModelError(f"{model_name} needs responses of both kinds; all {len(correct):,} are {kind}: add others")


def regress(
    matrix: Any, outcomes: Outcomes, weight: Doubles, settings: Settings, *, intercept: bool, model_name: str
) -> Regression:
    """Fit a logistic regression by maximising its penalised log-likelihood.

        sum_r weight_r log P(correct_r) - penalty / 2 sum_p coefficient_p^2

    matrix     (R, P) sparse matrix of features
    outcomes   (R,) 0 or 1, each at least once; or credit y in [0, 1], which counts as y correct and 1 - y wrong
               responses: a quasi-likelihood, whose maximum is consistent for the mean of y (Papke & Wooldridge 1996,
               Econometric methods for fractional response variables, Journal of Applied Econometrics 11)
    weight     (R,) number of times that each response counts
    intercept  whether to fit an intercept, which is not penalised
    model_name name of the model, for the message of MissingExtra

    Uses Newton's method, with the full Hessian for up to MOST_DENSE coefficients and conjugate gradients for more.
    """
    linear = require("sklearn.linear_model", "baselines", model_name)
    solver = "newton-cholesky" if matrix.shape[1] <= MOST_DENSE else "newton-cg"
    model = linear.LogisticRegression(
        C=1.0 / settings.penalty,
        fit_intercept=intercept,
        solver=solver,
        tol=settings.tolerance,
        max_iter=settings.max_iterations,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence is checked below, by the gradient
        model.fit(*_as_answers(matrix, outcomes, weight, model_name))
    coefficients = np.asarray(model.coef_[0], np.float64)
    constant = float(model.intercept_[0]) if intercept else 0.0
    residual = weight * (outcomes - logistic(matrix @ coefficients + constant))
    gradient = np.abs(matrix.T @ residual - settings.penalty * coefficients).max()
    slope = max(gradient, abs(residual.sum()) if intercept else 0.0)
    converged = bool(slope <= settings.tolerance * weight.sum())
    return Regression(coefficients, constant, int(model.n_iter_[0]), converged)


def _as_answers(matrix: Any, outcomes: Outcomes, weight: Doubles, model_name: str) -> tuple[Any, np.ndarray, Doubles]:
    """Return features, answers and weights; a response with credit becomes a correct and a wrong one, weighted."""
    if outcomes.dtype == np.int8:
        return matrix, outcomes, weight
    sparse = require("scipy.sparse", "baselines", model_name)
    answers = np.repeat(np.array([1, 0], np.int8), len(outcomes))
    return sparse.vstack([matrix, matrix]), answers, np.concatenate([weight * outcomes, weight * (1 - outcomes)])
