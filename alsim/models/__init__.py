"""Student models: estimates of learners' knowledge from their responses.

The models are Bayesian knowledge tracing, item response theory, computerized adaptive testing, deep knowledge tracing,
and baselines to compare them with. They do not depend on the environments, and fit both real and simulated logs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsim.models.base import Fit, ModelError, load_fit
    from alsim.models.scores import Scores, score
    from alsim.responses.log import Responses, codes_of
    from alsim.responses.reading import read_responses
    from alsim.responses.report import Report, ResponsesError

_HOMES = {
    "Fit": "alsim.models.base",
    "ModelError": "alsim.models.base",
    "Report": "alsim.responses.report",
    "Responses": "alsim.responses.log",
    "ResponsesError": "alsim.responses.report",
    "Scores": "alsim.models.scores",
    "codes_of": "alsim.responses.log",
    "load_fit": "alsim.models.base",
    "read_responses": "alsim.responses.reading",
    "score": "alsim.models.scores",
}

_MODULES = ("best_lr", "bkt", "cat", "dkt", "irt", "pfa", "skill_mean")
"""Modules of the models, imported on first use."""

__all__ = [
    "Fit",
    "ModelError",
    "Report",
    "Responses",
    "ResponsesError",
    "Scores",
    "codes_of",
    "load_fit",
    "read_responses",
    "score",
]


def __getattr__(name: str) -> Any:
    """Return a public name, importing its module on first use."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"alsim.models.{name}")
    raise AttributeError(f"module 'alsim.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted((*__all__, *_MODULES))
