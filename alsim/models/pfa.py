"""Performance factors analysis: logistic regression on earlier correct and wrong responses to each skill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit, Progress
from alsim.models.features import earlier_of_skills
from alsim.models.logistic import MOST_DENSE, Features, Settings, check, log_likelihood, logistic, regress
from alsim.models.outcomes import Outcomes, outcomes_of
from alsim.models.serialization import column_of, counts_of, names_of, number, rows_of, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Ints, Longs, short_repr
from alsim.utils.optional import require

MODEL_NAME = "performance factors analysis"
PARAMETERS = ("intercept", "win", "failure")
"""Coefficients of a skill: the columns of `PFAFit.coefficients`."""


@short_repr
@dataclass(frozen=True, eq=False)
class PFAFit(Fit):
    """A fitted performance factors analysis.

    skills           (K,) names of the skills with responses
    coefficients     (K, 3) intercept, and the effect of one earlier correct and one earlier wrong response, logits
    standard_errors  (K, 3) logits; NaN if they were not computed
    responses        (K,) int64, number of responses to each skill; those of a row that stands for n students count n
                     times
    pooled           (3,) coefficients, logits, fitted as if they were the same for all skills; used for unknown skills
    penalty          as passed to `fit`
    partial_credit   as passed to `fit`; wins are then sums of credit
    """

    model: ClassVar[str] = "pfa"
    skills: Names
    coefficients: Doubles
    standard_errors: Doubles
    responses: Longs
    pooled: Doubles
    penalty: float
    log_likelihood: float
    num_responses: int
    iterations: int
    converged: bool
    partial_credit: bool = False

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, given the student's earlier responses.

        An unknown skill has the coefficients `pooled`.
        """
        responses = self._matched(responses)
        known = codes_of(responses.skills, self.skills)
        coefficients = np.vstack([self.coefficients, self.pooled]).ravel()
        place = np.where(known < 0, len(self.skills), known)
        outcomes = outcomes_of(responses, self.partial_credit)
        return logistic(_features(responses, outcomes, place[responses.skill]).logits(coefficients))

    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per skill: coefficients, their standard errors, and the number of responses."""
        return [
            {"skill": str(skill)}
            | {name: float(value) for name, value in zip(PARAMETERS, values, strict=True)}
            | {f"se_{name}": float(error) for name, error in zip(PARAMETERS, errors, strict=True)}
            | {"responses": int(responses)}
            for skill, values, errors, responses in zip(
                self.skills, self.coefficients, self.standard_errors, self.responses, strict=True
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return `{"skills": {name: {intercept, win, failure, se_intercept, …, responses}}, "pooled": …, …}`."""
        columns = dict(zip(PARAMETERS, self.coefficients.T, strict=True))
        errors = {f"se_{name}": column for name, column in zip(PARAMETERS, self.standard_errors.T, strict=True)}
        return {
            "skills": rows_of(self.skills, {**columns, **errors, "responses": self.responses}),
            "pooled": dict(zip(PARAMETERS, self.pooled.tolist(), strict=True)),
            "penalty": self.penalty,
            "partial_credit": self.partial_credit,
            **self._summary(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit whose `to_dict` is `content`. Raises KeyError, TypeError or ValueError for any other."""
        rows = content["skills"]
        names_of({"pooled": content["pooled"]}, "pooled")
        return cls(
            skills=names_of(rows, "skills"),
            coefficients=np.column_stack([column_of(rows, name) for name in PARAMETERS]),
            standard_errors=np.column_stack([column_of(rows, f"se_{name}", missing=True) for name in PARAMETERS]),
            responses=counts_of(rows, "responses"),
            pooled=np.array([number(content["pooled"][name]) for name in PARAMETERS]),
            penalty=number(content["penalty"]),
            partial_credit=truth(content["partial_credit"]),
            **cls._read_summary(content),
        )


def fit(
    responses: Responses,
    *,
    penalty: float = 1.0,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    partial_credit: bool = False,
    progress: Progress | None = None,
) -> PFAFit:
    """Fit performance factors analysis by penalised maximum likelihood.

        logit P(correct) = sum_k intercept_k + win_k wins_k + failure_k failures_k

    The sum is over the skills k of the response. wins_k and failures_k count the student's earlier correct and wrong
    responses to skill k.

    responses       a log
    penalty         factor of half the sum of all squared coefficients, > 0: the precision, 1/logit^2, of a normal prior
                    with mean 0
    tolerance       largest component of the gradient at convergence, nats per logit and response, > 0
    max_iterations  largest number of Newton steps
    partial_credit  fit the credit of the responses, in [0, 1], instead of their correctness, by quasi-likelihood; wins
                    are then sums of earlier credit
    progress        called before each part of the fit, and at the end

    Standard errors come from the inverse of the penalised information matrix. Those for credit are robust: they assume
    nothing about its variance. Two skills are in the same group if a response has both, directly or through other
    skills. Standard errors are NaN for the skills of a group that has more than MOST_DENSE coefficients.

    Raises ModelError for invalid settings, for a log without responses, or without credit if this is used, and for
    responses that are all correct or all wrong. Raises MissingExtra without scikit-learn.
    Source: Pavlik, Cen & Koedinger (2009), Performance factors analysis, AIED.
    """
    settings = Settings(penalty, tolerance, max_iterations)
    outcomes = outcomes_of(responses, partial_credit)
    check(responses, outcomes, settings, MODEL_NAME)
    progress = progress or (lambda done, parts, message: None)
    weight = responses.weight[responses.student]
    progress(0, 3, "coefficients of each skill")
    features = _features(responses, outcomes, responses.skill)
    matrix = features.sparse(3 * responses.num_skills, MODEL_NAME)
    regression = regress(matrix, outcomes, weight, settings, intercept=False, model_name=MODEL_NAME)
    progress(1, 3, "coefficients of all skills combined")
    combined = _features(responses, outcomes, np.zeros_like(responses.skill)).sparse(3, MODEL_NAME)
    pooled = regress(combined, outcomes, weight, settings, intercept=False, model_name=MODEL_NAME)
    progress(2, 3, "standard errors")
    logits = features.logits(regression.coefficients)
    spread = logistic(logits) * logistic(-logits)
    squares = weight * (outcomes - logistic(logits)) ** 2 if partial_credit else None
    errors = _standard_errors(matrix, weight * spread, penalty, squares)
    progress(3, 3, "done")
    counts = responses.skill_counts()
    answered = counts > 0
    return PFAFit(
        skills=responses.skills[answered],
        coefficients=regression.coefficients.reshape(-1, 3)[answered],
        standard_errors=errors.reshape(-1, 3)[answered],
        responses=counts[answered],
        pooled=pooled.coefficients,
        penalty=float(penalty),
        log_likelihood=log_likelihood(outcomes, logits, weight),
        num_responses=responses.num_responses,
        iterations=regression.iterations,
        converged=regression.converged and pooled.converged,
        partial_credit=partial_credit,
    )


def _features(responses: Responses, outcomes: Outcomes, place: Ints) -> Features:
    """Return the features of each response: 1, wins and failures for each of its skills.

    outcomes  (R,) outcome of each response
    place     (X,) index of each skill of each response; it has the columns 3 place to 3 place + 2
    """
    wins, attempts = earlier_of_skills(responses, outcomes)
    value = np.column_stack([np.ones(len(wins)), wins, attempts - wins])
    column = 3 * place.astype(np.int64)[:, None] + np.arange(3)
    return Features(value.ravel(), column.ravel(), 3 * responses.skill_start)


def _standard_errors(matrix: Any, spread: Doubles, penalty: float, squares: Doubles | None) -> Doubles:
    """Return the square roots of the diagonal of A^-1, A = X' diag(spread) X + penalty I.

    With `squares`, that of A^-1 X' diag(squares) X A^-1, which needs no assumption about the variance of credit.

    matrix   (R, P) the features X, sparse
    spread   (R,) weight times variance of each response
    penalty  as passed to `fit`
    squares  (R,) weight times squared residual of each response; None for answers of 0 and 1

    Groups of skills that no response connects are inverted separately. The errors of a group with more than MOST_DENSE
    coefficients are NaN.
    """
    errors = np.full(matrix.shape[1], np.nan)
    information = (matrix.T @ matrix.multiply(spread[:, None])).tocsr()
    for group in _groups(information):
        if len(group) <= MOST_DENSE:
            block = information[group][:, group].toarray() + penalty * np.eye(len(group))
            variance = np.linalg.inv(block)
            if squares is not None:
                columns = matrix[:, group]
                variance = variance @ (columns.T @ columns.multiply(squares[:, None])).toarray() @ variance
            errors[group] = np.sqrt(np.diag(variance))
    return errors


def _groups(information: Any) -> Iterator[np.ndarray]:
    """Yield the column numbers of each block of a matrix that is block-diagonal after a permutation."""
    graphs = require("scipy.sparse.csgraph", "baselines", MODEL_NAME)
    num_groups, label = graphs.connected_components(information, directed=False)
    order = np.argsort(label, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(label, minlength=num_groups))[:-1])
