"""Student models: estimates of learners' knowledge from their responses.

The models are Bayesian knowledge tracing, item response theory, computerized adaptive testing, deep knowledge tracing,
and baselines to compare them with. They do not depend on the environments, and fit both real and simulated logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach

if TYPE_CHECKING:
    from alsim.models.base import Fit, ModelError, load_fit
    from alsim.models.scores import AucDifference, ScoreErrors, Scores, auc_difference, score, score_errors
    from alsim.responses.log import Responses, codes_of
    from alsim.responses.reading import read_responses
    from alsim.responses.report import Report, ResponsesError
    from alsim.responses.study import StudyEvents

_HOMES = {
    "AucDifference": "alsim.models.scores",
    "Fit": "alsim.models.base",
    "ModelError": "alsim.models.base",
    "Report": "alsim.responses.report",
    "Responses": "alsim.responses.log",
    "ResponsesError": "alsim.responses.report",
    "ScoreErrors": "alsim.models.scores",
    "Scores": "alsim.models.scores",
    "StudyEvents": "alsim.responses.study",
    "auc_difference": "alsim.models.scores",
    "codes_of": "alsim.responses.log",
    "load_fit": "alsim.models.base",
    "read_responses": "alsim.responses.reading",
    "score": "alsim.models.scores",
    "score_errors": "alsim.models.scores",
}

_MODULES = ("best_lr", "bkt", "cat", "dkt", "fsrs", "hlr", "irt", "pfa", "skill_mean", "sm2", "student")
"""Modules of the models, imported on first use."""

__all__ = [
    "AucDifference",
    "Fit",
    "ModelError",
    "Report",
    "Responses",
    "ResponsesError",
    "ScoreErrors",
    "Scores",
    "StudyEvents",
    "auc_difference",
    "codes_of",
    "load_fit",
    "read_responses",
    "score",
    "score_errors",
]

__getattr__, __dir__ = attach(__name__, _HOMES, submodules=_MODULES)
