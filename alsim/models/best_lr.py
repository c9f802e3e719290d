"""Best-LR: logistic regression on items, skills and logarithms of earlier counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit, Progress
from alsim.models.features import earlier_in_all, earlier_of_items, earlier_of_skills
from alsim.models.logistic import Features, Settings, check, log_likelihood, logistic, regress
from alsim.models.outcomes import Outcomes, outcomes_of
from alsim.models.serialization import column_of, names_of, number, rows_of, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Ints, Longs, short_repr

MODEL_NAME = "Best-LR"
OF_SKILL = ("intercept", "wins", "attempts")
"""Coefficients of a skill: the columns of `BestLRFit.skill`."""

OF_ALL = ("intercept", "item_wins", "item_attempts", "total_wins", "total_attempts")
"""Coefficients that all responses share: the entries of `BestLRFit.shared`."""


@short_repr
@dataclass(frozen=True, eq=False)
class BestLRFit(Fit):
    """A fitted Best-LR.

    Wins are earlier correct responses and attempts are earlier responses of the same student. The features are
    log(1 + wins) and log(1 + attempts).

    skills   (K,) names of the skills with responses
    items    (I,) names of the items with responses; empty if the items are the skills
    skill    (K, 3) intercept of each skill, and coefficients of wins and attempts at it, logits
    item     (I,) intercept of each item, logits
    shared   (5,) intercept, coefficients of wins and attempts at the item, and of wins and attempts in total, logits
    penalty  as passed to `fit`
    partial_credit  as passed to `fit`; wins are then sums of credit
    """

    model: ClassVar[str] = "best-lr"
    skills: Names
    items: Names
    skill: Doubles
    item: Doubles
    shared: Doubles
    penalty: float
    log_likelihood: float
    num_responses: int
    iterations: int
    converged: bool
    partial_credit: bool = False

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, given the student's earlier responses.

        An unknown skill or item has coefficients of 0. Earlier responses to it still count in the totals.
        """
        responses = self._matched(responses)
        skill = codes_of(responses.skills, self.skills)[responses.skill]
        item = codes_of(responses.items, self.items)[responses.item]
        outcomes = outcomes_of(responses, self.partial_credit)
        features = _features(responses, outcomes, skill, item, len(self.skills), len(self.items))
        return logistic(features.logits(self._coefficients()) + self.shared[0])

    def _coefficients(self) -> Doubles:
        """Return the coefficients, without the intercept, in the order of the columns of `_features`, logits."""
        return np.concatenate([self.skill.ravel(), np.zeros(3), self.item, [0.0], self.shared[1:]])

    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per skill, one per item, and one for the shared coefficients."""
        _, item_wins, item_attempts, total_wins, total_attempts = self.shared
        skills = [("skill", str(name), *values) for name, values in zip(self.skills, self.skill, strict=True)]
        items = [
            ("item", str(name), b, item_wins, item_attempts) for name, b in zip(self.items, self.item, strict=True)
        ]
        rows = [*skills, *items, ("all", "", self.shared[0], total_wins, total_attempts)]
        return [
            {"of": of, "name": name, "intercept": float(b), "wins": float(w), "attempts": float(a)}
            for of, name, b, w, a in rows
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return `{"skills": {name: {intercept, wins, attempts}}, "items": {name: {intercept}}, "shared": …, …}`."""
        return {
            "skills": rows_of(self.skills, dict(zip(OF_SKILL, self.skill.T, strict=True))),
            "items": rows_of(self.items, {"intercept": self.item}),
            "shared": dict(zip(OF_ALL, self.shared.tolist(), strict=True)),
            "penalty": self.penalty,
            "partial_credit": self.partial_credit,
            **self._summary(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit whose `to_dict` is `content`. Raises KeyError, TypeError or ValueError for any other."""
        skills, items = content["skills"], content["items"]
        names_of({"shared": content["shared"]}, "shared")
        return cls(
            skills=names_of(skills, "skills"),
            items=names_of(items, "items"),
            skill=np.column_stack([column_of(skills, name) for name in OF_SKILL]),
            item=column_of(items, "intercept"),
            shared=np.array([number(content["shared"][name]) for name in OF_ALL]),
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
) -> BestLRFit:
    """Fit Best-LR, a logistic regression, by penalised maximum likelihood.

        logit P(correct) = intercept + item_i + w_i f(wins_i) + a_i f(attempts_i) + w f(wins) + a f(attempts)
                           + sum_k skill_k + w_k f(wins_k) + a_k f(attempts_k),    f(n) = log(1 + n)

    The sum is over the skills k of the response. wins is the number of the student's earlier correct responses, and
    attempts the number of all earlier responses. wins_i and attempts_i count only responses to the item; w_i and a_i
    are the same for all items. wins_k and attempts_k count only responses to skill k. If the items are the skills, the
    terms of items are omitted.

    responses       a log
    penalty         factor of half the sum of all squared coefficients except `intercept`, > 0: the precision,
                    1/logit^2, of a normal prior with mean 0
    tolerance       largest component of the gradient at convergence, nats per logit and response, > 0
    max_iterations  largest number of Newton steps
    partial_credit  fit the credit of the responses, in [0, 1], instead of their correctness, by quasi-likelihood; wins
                    are then sums of earlier credit
    progress        called before and after the fit

    Raises ModelError for invalid settings, for a log without responses, or without credit if this is used, and for
    responses that are all correct or all wrong. Raises MissingExtra without scikit-learn.

    Source: Gervet, Koedinger, Schneider & Mitchell (2020), When is deep learning the best approach to knowledge
    tracing?, Journal of Educational Data Mining 12(3). Their model also has a term for each student, which is 0 for
    new students.
    """
    settings = Settings(penalty, tolerance, max_iterations)
    outcomes = outcomes_of(responses, partial_credit)
    check(responses, outcomes, settings, MODEL_NAME)
    progress = progress or (lambda done, parts, message: None)
    progress(0, 1, "coefficients")
    skills, items = responses.skills, responses.items if _has_items(responses) else responses.items[:0]
    features = _features(responses, outcomes, responses.skill, responses.item, len(skills), len(items))
    matrix = features.sparse(3 * (len(skills) + 1) + len(items) + 1 + 4, MODEL_NAME)
    weight = responses.weight[responses.student]
    regression = regress(matrix, outcomes, weight, settings, intercept=True, model_name=MODEL_NAME)
    logits = matrix @ regression.coefficients + regression.intercept
    progress(1, 1, "done")
    of_skills, rest = np.split(regression.coefficients, [3 * len(skills)])
    answered = np.unique(responses.skill)
    answered_items = np.unique(responses.item) if len(items) else slice(0)
    return BestLRFit(
        skills=skills[answered],
        items=items[answered_items],
        skill=of_skills.reshape(-1, 3)[answered],
        item=rest[3:-5][answered_items],
        shared=np.concatenate([[regression.intercept], rest[-4:]]),
        penalty=float(penalty),
        log_likelihood=log_likelihood(outcomes, logits, weight),
        num_responses=responses.num_responses,
        iterations=regression.iterations,
        converged=regression.converged,
        partial_credit=partial_credit,
    )


def _has_items(responses: Responses) -> bool:
    """Return whether the items of a log differ from its skills."""
    return not (
        responses.single_skill
        and np.array_equal(responses.items, responses.skills)
        and np.array_equal(responses.item, responses.skill)
    )


def _features(
    responses: Responses, outcomes: Outcomes, skill: Ints, item: Ints, num_skills: int, num_items: int
) -> Features:
    """Return the features of each response.

    outcomes    (R,) outcome of each response
    skill       (X,) number of each skill of each response, -1 for an unknown one
    item        (R,) number of the item of each response, -1 for an unknown one
    num_skills  K
    num_items   I

    Wins and attempts are log(1 + count). The columns are, in order:

        1, wins and attempts   for each skill, then for unknown skills
        1                      for each item, then for unknown items
        wins and attempts      at the item
        wins and attempts      in total

    Without items, the features of items are omitted.
    """
    base = 3 * (num_skills + 1)
    after = base + num_items + 1
    wins, attempts = np.log1p(earlier_of_skills(responses, outcomes))
    of_skills = np.column_stack([np.ones(len(wins)), wins, attempts])
    places = 3 * np.where(skill < 0, num_skills, skill).astype(np.int64)[:, None] + np.arange(3)
    total = np.log1p(earlier_in_all(responses, outcomes))
    if num_items:
        at_item = np.log1p(earlier_of_items(responses, outcomes))
        which = base + np.where(item < 0, num_items, item).astype(np.int64)
        rest = np.column_stack([np.ones(len(responses)), *at_item, *total])
        rest_places = np.column_stack([which, *np.broadcast_to(after + np.arange(4)[:, None], (4, len(which)))])
    else:
        rest = np.ascontiguousarray(total.T)
        rest_places = np.broadcast_to(after + np.arange(2, 4), rest.shape)
    return _joined(responses, of_skills, places, rest, rest_places)


def _joined(responses: Responses, of_skills: Doubles, places: Longs, rest: Doubles, rest_places: Longs) -> Features:
    """Return features in which each row has the values of the response's skills, followed by its other values.

    of_skills, places  (X, 3) values and columns for each skill of each response
    rest, rest_places  (R, F) other values and their columns
    """
    many = rest.shape[1]
    start = 3 * responses.skill_start + many * np.arange(len(responses) + 1)
    response = np.repeat(np.arange(len(responses)), np.diff(responses.skill_start))
    first = (3 * np.arange(len(of_skills)) + many * response)[:, None] + np.arange(3)
    last = start[1:, None] - many + np.arange(many)
    value, column = np.empty(start[-1]), np.empty(start[-1], np.int64)
    value[first], column[first] = of_skills, places
    value[last], column[last] = rest, rest_places
    return Features(value, column, start)
