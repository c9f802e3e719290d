"""The smoothed share of correct responses to each skill: the simplest baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit, ModelError, Progress
from alsim.models.outcomes import outcomes_of
from alsim.models.serialization import column_of, counts_of, names_of, number, rows_of, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Longs, short_repr


@short_repr
@dataclass(frozen=True, eq=False)
class SkillMeanFit(Fit):
    """Fitted shares of correct responses.

    skills     (K,) names of the skills with responses
    share      (K,) share of correct responses to each skill
    mean       (K,) smoothed share, which is the forecast: that of few responses is nearer to `overall`
    responses  (K,) int64, number of responses to each skill; those of a row that stands for n students count n times
    overall    share of correct responses among all; the forecast for an unknown skill
    smoothing  as passed to `fit`
    partial_credit  as passed to `fit`; shares are then means of credit
    """

    model: ClassVar[str] = "skill-mean"
    skills: Names
    share: Doubles
    mean: Doubles
    responses: Longs
    overall: float
    smoothing: float
    log_likelihood: float
    num_responses: int
    iterations: int = 0
    converged: bool = True
    partial_credit: bool = False

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct: the average of `mean` over its skills.

        Earlier responses of the student have no effect.
        """
        responses = self._matched(responses)
        mean = np.append(self.mean, self.overall)[codes_of(responses.skills, self.skills)]
        return _forecast(mean[responses.skill], responses)

    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per skill: its share of correct responses, its smoothed share, and its number of responses."""
        columns = (self.skills, self.share, self.mean, self.responses)
        return [
            {"skill": str(skill), "share": float(share), "mean": float(mean), "responses": int(responses)}
            for skill, share, mean, responses in zip(*columns, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return `{"skills": {name: {share, mean, responses}}, "overall": …, …}`."""
        columns = {"share": self.share, "mean": self.mean, "responses": self.responses}
        return {
            "skills": rows_of(self.skills, columns),
            "overall": self.overall,
            "smoothing": self.smoothing,
            "partial_credit": self.partial_credit,
            **self._summary(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit whose `to_dict` is `content`. Raises KeyError, TypeError or ValueError for any other."""
        skills = names_of(content["skills"], "skills")
        share, mean = (column_of(content["skills"], name) for name in ("share", "mean"))
        overall = number(content["overall"])
        values = np.array([*share, *mean, overall])
        if not (valid := (values >= 0) & (values <= 1)).all():
            raise ValueError(f"share, mean and overall must be in [0, 1]; got {float(values[~valid][0])!r}")
        return cls(
            skills=skills,
            share=share,
            mean=mean,
            responses=counts_of(content["skills"], "responses"),
            overall=overall,
            smoothing=number(content["smoothing"]),
            partial_credit=truth(content["partial_credit"]),
            **cls._read_summary(content),
        )


def fit(
    responses: Responses, *, smoothing: float = 1.0, partial_credit: bool = False, progress: Progress | None = None
) -> SkillMeanFit:
    """Fit the smoothed share of correct responses to each skill.

        mean_k = (wins_k + smoothing overall) / (responses_k + smoothing)

    This is computed, not iterated. With a smoothing of 0, it is the share of correct responses.

    responses  a log; a response to several skills counts for each of them
    smoothing  number of responses with the overall share of correct ones that are added to each skill, 0 or more
    partial_credit  average the credit of the responses, in [0, 1], instead of their correctness
    progress   called when the fit is finished

    Raises ModelError for a log without responses of positive weight, or without credit if this is used, and for an
    invalid smoothing.
    """
    if isinstance(smoothing, bool) or not isinstance(smoothing, int | float) or not 0 <= smoothing < math.inf:
        raise ModelError(f"smoothing must be a finite number of at least 0; got {smoothing!r}")
    weight = responses.weight[responses.student]
    if not weight.any():
        raise ModelError(
            "the mean of each skill needs responses; got none: pass a log with at least one response of positive weight"
        )
    outcomes = outcomes_of(responses, partial_credit)
    overall = float((weight * outcomes).sum() / weight.sum())
    response = np.repeat(np.arange(len(responses)), np.diff(responses.skill_start))
    attempts = np.bincount(responses.skill, weight[response], minlength=responses.num_skills)
    wins = np.bincount(responses.skill, (weight * outcomes)[response], minlength=responses.num_skills)
    mean = np.full(responses.num_skills, overall)
    np.divide(wins + smoothing * overall, attempts + smoothing, out=mean, where=attempts > 0)
    answered = attempts > 0
    forecast = _forecast(mean[responses.skill], responses)
    weighs = weight > 0
    # Each mean includes the outcome, so 0 < forecast where y > 0, and forecast < 1 where y < 1.
    y, p = outcomes[weighs], forecast[weighs]
    likelihood = y * np.log(np.where(y > 0, p, 1)) + (1 - y) * np.log(np.where(y < 1, 1 - p, 1))
    if progress is not None:
        progress(1, 1, "means")
    return SkillMeanFit(
        skills=responses.skills[answered],
        share=wins[answered] / attempts[answered],
        mean=mean[answered],
        responses=responses.skill_counts()[answered],
        overall=overall,
        smoothing=float(smoothing),
        log_likelihood=float((weight[weighs] * likelihood).sum()),
        num_responses=responses.num_responses,
        partial_credit=partial_credit,
    )


def _forecast(mean: Doubles, responses: Responses) -> Doubles:
    """Return the mean (R,) of `mean` (X,) over the skills of each response."""
    if len(responses) == 0:
        return np.empty(0)
    return np.asarray(np.add.reduceat(mean, responses.skill_start[:-1]) / np.diff(responses.skill_start))
