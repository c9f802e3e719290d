"""The share of correct responses to each skill: the least that any model must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit, ModelError, Progress
from alsim.models.serialization import column_of, count, counts_of, names_of, number, rows_of, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Longs

MODEL = "skill-mean"


@dataclass(frozen=True, eq=False)
class SkillMeanFit(Fit):
    """Shares of correct responses.

    skills     (K,) names of those that had responses
    mean       (K,) share of correct responses to each, smoothed
    responses  (K,) int64, to each
    overall    share among all responses: the forecast for a skill that is not among `skills`
    smoothing  as of `fit`
    """

    model: ClassVar[str] = MODEL
    skills: Names
    mean: Doubles
    responses: Longs
    overall: float
    smoothing: float
    log_likelihood: float
    num_responses: int
    iterations: int = 0
    converged: bool = True

    def predict(self, responses: Responses) -> Doubles:
        """Return the mean (R,) of the skills' means for each response; earlier responses tell it nothing."""
        mean = np.append(self.mean, self.overall)[codes_of(responses.skills, self.skills)]
        return _forecast(mean[responses.skill], responses)

    def table(self) -> list[dict[str, str | int | float]]:
        """Return a row a skill."""
        return [
            {"skill": str(skill), "mean": float(mean), "responses": int(responses)}
            for skill, mean, responses in zip(self.skills, self.mean, self.responses, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return `{"skills": {name: {mean, responses}}, "overall": …, …}`."""
        return {
            "skills": rows_of(self.skills, {"mean": self.mean, "responses": self.responses}),
            "overall": self.overall,
            "smoothing": self.smoothing,
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
            "responses": self.num_responses,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit that `to_dict` gave."""
        skills = names_of(content["skills"], "skills")
        mean, overall = column_of(content["skills"], "mean"), number(content["overall"])
        if not ((mean >= 0) & (mean <= 1)).all() or not 0 <= overall <= 1:
            raise ValueError("means are shares in [0, 1]")
        return cls(
            skills=skills,
            mean=mean,
            responses=counts_of(content["skills"], "responses"),
            overall=overall,
            smoothing=number(content["smoothing"]),
            log_likelihood=number(content["log_likelihood"]),
            num_responses=count(content["responses"]),
            iterations=count(content["iterations"]),
            converged=truth(content["converged"]),
        )


def fit(responses: Responses, *, smoothing: float = 1.0, progress: Progress | None = None) -> SkillMeanFit:
    """Fit the share of correct responses to each skill.

        mean_k = (wins_k + smoothing overall) / (responses_k + smoothing)

    responses  a response to several skills counts for each of them
    smoothing  responses of the overall share that each skill is given beside its own, 0 or more
    progress   told when it is done

    Raises ModelError for no responses and for a smoothing that cannot be.
    """
    if isinstance(smoothing, bool) or not isinstance(smoothing, int | float) or not 0 <= smoothing < math.inf:
        raise ModelError(f"smoothing is a number, 0 or more; got {smoothing!r}")
    weight = responses.weight[responses.student]
    if not weight.any():
        raise ModelError("the mean of each skill needs responses; got none")
    overall = float((weight * responses.correct).sum() / weight.sum())
    each = np.repeat(np.arange(len(responses)), np.diff(responses.skill_start))
    asked = np.bincount(responses.skill, weight[each], minlength=responses.num_skills)
    won = np.bincount(responses.skill, (weight * responses.correct)[each], minlength=responses.num_skills)
    mean = np.full(responses.num_skills, overall)
    np.divide(won + smoothing * overall, asked + smoothing, out=mean, where=asked > 0)
    counted = np.bincount(responses.skill, minlength=responses.num_skills)
    met = counted > 0
    forecast = _forecast(mean[responses.skill], responses)
    counts = weight > 0
    told = np.where(responses.correct == 1, forecast, 1.0 - forecast)[counts]  # above 0: each is in its own mean
    if progress is not None:
        progress(1, 1, "means")
    return SkillMeanFit(
        skills=responses.skills[met],
        mean=mean[met],
        responses=counted[met],
        overall=overall,
        smoothing=float(smoothing),
        log_likelihood=float((weight[counts] * np.log(told)).sum()),
        num_responses=len(responses),
    )


def _forecast(mean: Doubles, responses: Responses) -> Doubles:
    """Return the mean (R,) for each response of `mean` (X,)."""
    if len(responses) == 0:
        return np.empty(0)
    return np.asarray(np.add.reduceat(mean, responses.skill_start[:-1]) / np.diff(responses.skill_start))
