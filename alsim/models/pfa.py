"""Performance factors analysis: earlier right and wrong responses to a skill, each with a weight of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit, Progress
from alsim.models.features import earlier_of_skills
from alsim.models.logistic import MOST_DENSE, Features, Settings, check, log_likelihood, logistic, regress
from alsim.models.serialization import column_of, count, counts_of, names_of, number, rows_of, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Ints, Longs
from alsim.utils.optional import require

WHAT = "performance factors analysis"
PARAMETERS = ("intercept", "win", "failure")
"""Of a skill: the columns of `PFAFit.coefficients`."""


@dataclass(frozen=True, eq=False)
class PFAFit(Fit):
    """A fitted performance factors analysis.

    skills           (K,) names of those that had responses
    coefficients     (K, 3) of each skill: its intercept, and what an earlier win and an earlier failure add, logits
    standard_errors  (K, 3), NaN where they were not computed
    responses        (K,) int64, to each skill
    pooled           (3,) the same of all skills taken for one: for a skill that is not among `skills`
    penalty          as of `fit`
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

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, by its student's earlier responses."""
        known = codes_of(responses.skills, self.skills)
        every = np.vstack([self.coefficients, self.pooled]).ravel()
        place = np.where(known < 0, len(self.skills), known)
        return logistic(_features(responses, place[responses.skill]).logits(every))

    def table(self) -> list[dict[str, str | int | float]]:
        """Return a row a skill."""
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
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
            "responses": self.num_responses,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit that `to_dict` gave."""
        rows = content["skills"]
        names_of({"pooled": content["pooled"]}, "pooled")
        return cls(
            skills=names_of(rows, "skills"),
            coefficients=np.column_stack([column_of(rows, name) for name in PARAMETERS]),
            standard_errors=np.column_stack([column_of(rows, f"se_{name}", missing=True) for name in PARAMETERS]),
            responses=counts_of(rows, "responses"),
            pooled=np.array([number(content["pooled"][name]) for name in PARAMETERS]),
            penalty=number(content["penalty"]),
            log_likelihood=number(content["log_likelihood"]),
            num_responses=count(content["responses"]),
            iterations=count(content["iterations"]),
            converged=truth(content["converged"]),
        )


def fit(
    responses: Responses,
    *,
    penalty: float = 1.0,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    progress: Progress | None = None,
) -> PFAFit:
    """Fit performance factors analysis.

        logit P(correct) = sum_k intercept_k + win_k wins_k + failure_k failures_k

    summed over the skills k of the response, with its student's earlier right and wrong responses to each.

    penalty, tolerance, max_iterations  as of `logistic.Settings`
    progress                            told before each of the parts

    Returns the maximum of the penalised likelihood. Standard errors are from the inverse of its information matrix;
    NaN for skills that responses tie to so many others that they have more than MOST_DENSE coefficients together.
    Raises ModelError for responses that are all alike, MissingExtra without scikit-learn.
    Source: Pavlik, Cen & Koedinger (2009), Performance factors analysis, AIED.
    """
    settings = Settings(penalty, tolerance, max_iterations)
    check(responses, settings, WHAT)
    tell = progress or (lambda done, parts, said: None)
    weight = responses.weight[responses.student]
    tell(0, 3, "coefficients of each skill")
    features = _features(responses, responses.skill)
    matrix = features.sparse(3 * responses.num_skills, WHAT)
    found = regress(matrix, responses.correct, weight, settings, intercept=False, what=WHAT)
    tell(1, 3, "coefficients of all skills taken for one")
    single = _features(responses, np.zeros_like(responses.skill)).sparse(3, WHAT)
    pooled = regress(single, responses.correct, weight, settings, intercept=False, what=WHAT)
    tell(2, 3, "standard errors")
    logits = features.logits(found.coefficients)
    spread = logistic(logits) * logistic(-logits)
    errors = _standard_errors(matrix, weight * spread, penalty)
    tell(3, 3, "done")
    asked = np.bincount(responses.skill, minlength=responses.num_skills)
    met = asked > 0
    return PFAFit(
        skills=responses.skills[met],
        coefficients=found.coefficients.reshape(-1, 3)[met],
        standard_errors=errors.reshape(-1, 3)[met],
        responses=asked[met],
        pooled=pooled.coefficients,
        penalty=float(penalty),
        log_likelihood=log_likelihood(responses.correct, logits, weight),
        num_responses=len(responses),
        iterations=found.iterations,
        converged=found.converged and pooled.converged,
    )


def _features(responses: Responses, place: Ints) -> Features:
    """Return 1, wins and failures of each skill of each response, in the columns of its place (X,)."""
    wins, attempts = earlier_of_skills(responses)
    value = np.column_stack([np.ones(len(wins)), wins, attempts - wins])
    column = 3 * place.astype(np.int64)[:, None] + np.arange(3)
    return Features(value.ravel(), column.ravel(), 3 * responses.skill_start)


def _standard_errors(matrix: Any, spread: Doubles, penalty: float) -> Doubles:
    """Roots of the diagonal of (X' diag(spread) X + penalty I)^-1, X the features (R, P).

    Skills that no response ties together are inverted apart.
    """
    errors = np.full(matrix.shape[1], np.nan)
    information = (matrix.T @ matrix.multiply(spread[:, None])).tocsr()
    for group in _groups(information):
        if len(group) <= MOST_DENSE:
            block = information[group][:, group].toarray() + penalty * np.eye(len(group))
            errors[group] = np.sqrt(np.diag(np.linalg.inv(block)))
    return errors


def _groups(information: Any) -> Iterator[np.ndarray]:
    """Yield the columns of each block of a block-diagonal matrix."""
    graphs = require("scipy.sparse.csgraph", "baselines", WHAT)
    number, label = graphs.connected_components(information, directed=False)
    order = np.argsort(label, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(label, minlength=number))[:-1])
