"""Estimates of a student model that is judged on a log: its forecasts, and its mastery at the end."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alsim.errors import AlsimError, did_you_mean
from alsim.models.base import Fit, ModelError, load_fit
from alsim.models.student import FSRSModel, Items, StudentModel, TimedStudentModel, load_student_model, student_model
from alsim.models.student.fits import followed
from alsim.responses.log import Responses
from alsim.types import Doubles, Longs, describe

FITTED = ("bkt", "irt", "pfa", "hlr")
"""Student models that can be fitted to the log itself."""
NAMES = (*FITTED, "fsrs")
"""Student models by name; `fsrs` has its published weights."""
WITH_TIMES = ("hlr", "fsrs")
"""Those that know time."""
FOLDS = 2
"""Number of folds of learners: a model that is fitted here follows the learners of other folds than its own."""


class Judged(NamedTuple):
    """Estimates of a student model for the R responses and the S students of a log, with K skills."""

    items: Items
    chance: Doubles
    """Forecast of each response, (R,)."""
    mastery: Doubles
    """Mastery of each skill after the last response of each student, (S, K)."""


def loaded(model: Any) -> Any:
    """Return a name of NAMES, a student model or a fit; load a file of one of them. Raises AlsimError for others."""
    if isinstance(model, str) and not Path(model).exists():
        if model not in NAMES:
            raise AlsimError(
                f"model must be a student model, a file of one, or one of {', '.join(NAMES)}; got {model!r:.60}"
                f"{did_you_mean(model, NAMES) or ', and there is no such file: check the path'}"
            )
        return model
    if isinstance(model, str | Path):
        try:
            model = load_fit(model)
        except ModelError:
            model = load_student_model(model)
    if not isinstance(model, Fit | StudentModel):
        raise AlsimError(f"model must be a student model, a fit, or a file of one; got {describe(model)}: fit one")
    return model


def needs_times(model: Any) -> bool:
    """Return whether a result of `loaded` needs a log with times."""
    name = model.model if isinstance(model, Fit) else model
    return name in WITH_TIMES if isinstance(name, str) else isinstance(model, TimedStudentModel)


def estimates_of(model: Any, log: Responses, learner: Longs) -> Judged:
    """Return the estimates of a model.

    model    result of `loaded`
    log      log with times, if the model needs them
    learner  (S,) learner of each student of the log
    """
    if isinstance(model, str) and model in FITTED:
        return _cross_fitted(model, log, learner)
    made: StudentModel = model
    if isinstance(model, str):
        made = FSRSModel(Items.of_log(log))
    elif isinstance(model, Fit):
        made = student_model(model, Items.of_log(log))
    return Judged(made.items, *followed(made, log))


def _cross_fitted(name: str, log: Responses, learner: Longs) -> Judged:
    """Return the estimates for the learners of each fold by a model that is fitted to the other fold."""
    fit, items = import_module(f"alsim.models.{name}").fit, Items.of_log(log)
    fold = np.unique(learner, return_inverse=True)[1].ravel() % FOLDS
    chance, mastery = np.empty(len(log)), np.empty((log.num_students, items.num_skills))
    for k in range(FOLDS):
        fitted = fit(log.subset(fold != k))
        own = log.subset(fold == k)
        found = followed(student_model(fitted, items), own)
        chance[fold[log.student] == k], mastery[fold == k] = found.chance, found.mastery
    return Judged(items, chance, mastery)


__all__ = ["FITTED", "NAMES", "Judged", "estimates_of", "loaded", "needs_times"]
