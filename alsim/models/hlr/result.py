"""The result of fitting half-life regression: weights, forecasts, and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit
from alsim.models.hlr.memory import half_life, held_recall, recall
from alsim.models.practice import Practice, earlier_practice, times_of
from alsim.models.serialization import column_of, counts_of, names_of, number, rows_of, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Longs, short_repr

WEIGHT_NAMES = ("right", "wrong", "intercept")
"""Weights that all skills share: the entries of `HLRFit.weights`."""


@short_repr
@dataclass(frozen=True, eq=False)
class HLRFit(Fit):
    """A fitted half-life regression.

    skills            (K,) names of the skills with responses
    weights           (3,) theta_right, theta_wrong and theta_0, of log2 of the half-life in days
    weight_errors     (3,) standard errors of the weights
    intercepts        (K,) intercept of each skill, added to theta_0; 0 without `by_skill`
    intercept_errors  (K,) standard errors of the intercepts; NaN without `by_skill`
    prior             (K,) recall of each skill before its first practice
    responses         (K,) int64, number of responses to each skill; those of a row that stands for n students count n
                      times
    pooled_prior      recall of any skill before its first practice; used for unknown skills, whose intercept is 0
    guess, penalty, by_skill
                      as passed to `fit`
    """

    model: ClassVar[str] = "hlr"
    skills: Names
    weights: Doubles
    weight_errors: Doubles
    intercepts: Doubles
    intercept_errors: Doubles
    prior: Doubles
    responses: Longs
    pooled_prior: float
    guess: float
    penalty: float
    by_skill: bool
    log_likelihood: float
    num_responses: int
    iterations: int
    converged: bool

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, given the student's earlier ones and the times.

        A study event counts as a correct answer. The recall of a response to several skills is the mean over them.
        Raises ModelError for responses without times, and for times that run backwards.
        """
        responses = self._matched(responses)
        practice = earlier_practice(responses, times_of(responses, "half-life regression"))
        known = codes_of(responses.skills, self.skills)[responses.skill]
        return chances_of(responses, practice, self.skill_weights()[known], self.priors()[known], self.guess)

    def half_lives(self, responses: Responses) -> tuple[Doubles, Doubles]:
        """Return the half-life at each response to a skill that was practised before, and the time since, days.

        Both are (X,). A response to several skills has one entry for each. Raises ModelError as `predict`.
        """
        responses = self._matched(responses)
        practice = earlier_practice(responses, times_of(responses, "half-life regression"))
        weights = self.skill_weights()[codes_of(responses.skills, self.skills)[responses.skill]]
        later = ~np.isnan(practice.days)
        return half_life(practice.right, practice.wrong, weights)[later], practice.days[later]

    def skill_weights(self) -> Doubles:
        """Return the three weights of each skill, and of an unknown one, (K + 1, 3)."""
        weights = np.tile(self.weights, (len(self.skills) + 1, 1))
        weights[:-1, 2] += self.intercepts
        return weights

    def priors(self) -> Doubles:
        """Return the recall of each skill before its first practice, and of an unknown one, (K + 1,)."""
        return np.append(self.prior, self.pooled_prior)

    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per weight, and one per skill: estimate, standard error, prior and number of responses."""
        rows: list[dict[str, str | int | float]] = [
            {"of": "all", "name": name, "estimate": value, "se_estimate": error, "prior": np.nan, "responses": count}
            for name, value, error, count in zip(
                WEIGHT_NAMES, self.weights.tolist(), self.weight_errors.tolist(), [self.num_responses] * 3, strict=True
            )
        ]
        columns = (self.skills, self.intercepts, self.intercept_errors, self.prior, self.responses)
        return rows + [
            {"of": "skill", "name": name, "estimate": value, "se_estimate": error, "prior": prior, "responses": count}
            for name, value, error, prior, count in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return `{"weights": {right: {estimate, se}, …}, "skills": {name: {intercept, se_intercept, …}}, …}`."""
        weights = {"estimate": self.weights, "se": self.weight_errors}
        skills = {"intercept": self.intercepts, "se_intercept": self.intercept_errors, "prior": self.prior}
        return {
            "weights": rows_of(np.array(WEIGHT_NAMES), weights),
            "skills": rows_of(self.skills, {**skills, "responses": self.responses}),
            "prior": self.pooled_prior,
            "guess": self.guess,
            "penalty": self.penalty,
            "by_skill": self.by_skill,
            **self._summary(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit whose `to_dict` is `content`. Raises KeyError, TypeError or ValueError for any other."""
        rows, weights = content["skills"], content["weights"]
        names_of(weights, "weights")
        weights = {name: weights[name] for name in WEIGHT_NAMES}
        return cls(
            skills=names_of(rows, "skills"),
            weights=column_of(weights, "estimate"),
            weight_errors=column_of(weights, "se", missing=True),
            intercepts=column_of(rows, "intercept"),
            intercept_errors=column_of(rows, "se_intercept", missing=True),
            prior=_probabilities(column_of(rows, "prior")),
            responses=counts_of(rows, "responses"),
            pooled_prior=float(_probabilities(np.array(number(content["prior"])))),
            guess=float(_probabilities(np.array(number(content["guess"])))),
            penalty=number(content["penalty"]),
            by_skill=truth(content["by_skill"]),
            **cls._read_summary(content),
        )


def chances_of(responses: Responses, practice: Practice, weights: Doubles, prior: Doubles, guess: float) -> Doubles:
    """Return the probability (R,) that each response is correct.

    practice  earlier practice of each skill of each response, (X,)
    weights   (X, 3) weights of these skills
    prior     (X,) their recall before the first practice
    guess     probability of a correct answer without recall
    """
    practised = ~np.isnan(practice.days)
    found = recall(np.where(practised, practice.days, 0.0), half_life(practice.right, practice.wrong, weights))
    held = held_recall(np.where(practised, found, prior))
    if len(responses) == 0:
        return np.empty(0)
    mean = np.add.reduceat(held, responses.skill_start[:-1]) / np.diff(responses.skill_start)
    return np.asarray(guess + (1 - guess) * mean)


def _probabilities(values: Doubles) -> Doubles:
    """Return values in [0, 1]; raises ValueError for others."""
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a probability is outside [0, 1]")
    return values


__all__ = ["HLRFit", "chances_of"]
