"""Best-LR: logistic regression on items, skills and logarithms of earlier counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit, Progress
from alsim.models.features import earlier_in_all, earlier_of_items, earlier_of_skills
from alsim.models.logistic import Features, Settings, check, log_likelihood, logistic, regress
from alsim.models.serialization import column_of, count, names_of, number, rows_of, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Ints, Longs

WHAT = "Best-LR"
OF_SKILL = ("intercept", "wins", "attempts")
"""Of a skill: the columns of `BestLRFit.skill`."""

OF_ALL = ("intercept", "item_wins", "item_attempts", "total_wins", "total_attempts")
"""What all responses share: the entries of `BestLRFit.shared`."""


@dataclass(frozen=True, eq=False)
class BestLRFit(Fit):
    """A fitted Best-LR.

    skills   (K,) names of those that had responses
    items    (I,) likewise; none where items are the skills
    skill    (K, 3) of each skill: its intercept, and what log(1 + earlier wins) and log(1 + attempts) at it add, logits
    item     (I,) what each item adds, logits
    shared   (5,) intercept, and what log(1 + earlier wins) and attempts at the item, and in all, add, logits
    penalty  as of `fit`
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

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, by its student's earlier responses.

        An unknown skill or item adds nothing of its own; what was done before counts in total all the same.
        """
        skill = codes_of(responses.skills, self.skills)[responses.skill]
        item = codes_of(responses.items, self.items)[responses.item]
        features = _features(responses, skill, item, len(self.skills), len(self.items))
        return logistic(features.logits(self._coefficients()) + self.shared[0])

    def _coefficients(self) -> Doubles:
        """Return the coefficients in the columns of `_features`."""
        return np.concatenate([self.skill.ravel(), np.zeros(3), self.item, [0.0], self.shared[1:]])

    def table(self) -> list[dict[str, str | int | float]]:
        """Return a row for each skill, for each item, and for what all responses share."""
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
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
            "responses": self.num_responses,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit that `to_dict` gave."""
        skills, items = content["skills"], content["items"]
        names_of({"shared": content["shared"]}, "shared")
        return cls(
            skills=names_of(skills, "skills"),
            items=names_of(items, "items"),
            skill=np.column_stack([column_of(skills, name) for name in OF_SKILL]),
            item=column_of(items, "intercept"),
            shared=np.array([number(content["shared"][name]) for name in OF_ALL]),
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
) -> BestLRFit:
    """Fit the logistic regression that its authors found best.

        logit P(correct) = intercept + item_i + w_i f(wins_i) + a_i f(attempts_i) + w f(wins) + a f(attempts)
                           + sum_k skill_k + w_k f(wins_k) + a_k f(attempts_k),    f(n) = log(1 + n)

    summed over the skills k of the response, with its student's earlier wins and attempts at each of them, at the
    item (w_i and a_i are the same for all items), and in all. Where items are the skills, what is about items is left
    out.

    penalty, tolerance, max_iterations  as of `logistic.Settings`
    progress                            told before and after

    Raises ModelError for responses that are all alike, MissingExtra without scikit-learn.
    Source: Gervet, Koedinger, Schneider & Mitchell (2020), When is deep learning the best approach to knowledge
    tracing?, Journal of Educational Data Mining 12(3). Theirs has a term for each student, too: those that are
    forecast here are new.
    """
    settings = Settings(penalty, tolerance, max_iterations)
    check(responses, settings, WHAT)
    tell = progress or (lambda done, parts, said: None)
    tell(0, 1, "coefficients")
    skills, items = responses.skills, responses.items if _knows_items(responses) else responses.items[:0]
    features = _features(responses, responses.skill, responses.item, len(skills), len(items))
    matrix = features.sparse(3 * (len(skills) + 1) + len(items) + 1 + 4, WHAT)
    weight = responses.weight[responses.student]
    found = regress(matrix, responses.correct, weight, settings, intercept=True, what=WHAT)
    tell(1, 1, "done")
    of_skills, rest = np.split(found.coefficients, [3 * len(skills)])
    met, met_items = np.unique(responses.skill), np.unique(responses.item) if len(items) else slice(0)
    return BestLRFit(
        skills=skills[met],
        items=items[met_items],
        skill=of_skills.reshape(-1, 3)[met],
        item=rest[3:-5][met_items],
        shared=np.concatenate([[found.intercept], rest[-4:]]),
        penalty=float(penalty),
        log_likelihood=log_likelihood(responses.correct, matrix @ found.coefficients + found.intercept, weight),
        num_responses=len(responses),
        iterations=found.iterations,
        converged=found.converged,
    )


def _knows_items(responses: Responses) -> bool:
    """Whether items are anything else than the skills."""
    return not (
        responses.single_skill
        and np.array_equal(responses.items, responses.skills)
        and np.array_equal(responses.item, responses.skill)
    )


def _features(responses: Responses, skill: Ints, item: Ints, num_skills: int, num_items: int) -> Features:
    """Return what tells of each response.

    skill  (X,) -1 for an unknown one
    item   (R,) likewise

    Columns: of each skill 1, wins and attempts, and three for unknown ones; of each item 1, and one for unknown ones;
    wins and attempts at the item; wins and attempts in all. Counts are logarithms; without items theirs are left out.
    """
    base = 3 * (num_skills + 1)
    after = base + num_items + 1
    wins, attempts = np.log1p(earlier_of_skills(responses))
    of_skills = np.column_stack([np.ones(len(wins)), wins, attempts])
    places = 3 * np.where(skill < 0, num_skills, skill).astype(np.int64)[:, None] + np.arange(3)
    total = np.log1p(earlier_in_all(responses))
    if num_items:
        own = np.log1p(earlier_of_items(responses))
        which = base + np.where(item < 0, num_items, item).astype(np.int64)
        rest = np.column_stack([np.ones(len(responses)), *own, *total])
        rest_places = np.column_stack([which, *np.broadcast_to(after + np.arange(4)[:, None], (4, len(which)))])
    else:
        rest = np.ascontiguousarray(total.T)
        rest_places = np.broadcast_to(after + np.arange(2, 4), rest.shape)
    return _joined(responses, of_skills, places, rest, rest_places)


def _joined(responses: Responses, of_skills: Doubles, places: Longs, rest: Doubles, rest_places: Longs) -> Features:
    """Return rows of what belongs to a response's skills (X, 3), and then of the rest (R, F)."""
    many = rest.shape[1]
    start = 3 * responses.skill_start + many * np.arange(len(responses) + 1)
    response = np.repeat(np.arange(len(responses)), np.diff(responses.skill_start))
    first = (3 * np.arange(len(of_skills)) + many * response)[:, None] + np.arange(3)
    last = start[1:, None] - many + np.arange(many)
    value, column = np.empty(start[-1]), np.empty(start[-1], np.int64)
    value[first], column[first] = of_skills, places
    value[last], column[last] = rest, rest_places
    return Features(value, column, start)
