"""Recalibration: the student model of an engine, fitted again to the whole log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.engine import events
from alsim.engine.calibration import Refit
from alsim.engine.calibration import refit as fit_again
from alsim.engine.catalogue import hash_of
from alsim.engine.errors import EngineError
from alsim.engine.models import EngineModel
from alsim.engine.stored_model import write_model
from alsim.models.scores import NEAREST
from alsim.models.student.base import BaseStudentModel, StudentModel
from alsim.models.student.fits import forecasts
from alsim.responses.log import Responses
from alsim.types import Doubles, describe, short_repr

if TYPE_CHECKING:
    from alsim.engine.engine import AdaptiveEngine

Refitting = Callable[[Responses, StudentModel], StudentModel]
"""Function that returns a new student model, given a log and the present model."""


@short_repr
class Recalibration(NamedTuple):
    """Report of a recalibration."""

    model: str
    """Class of the student model."""
    students: int
    """Number of students with responses."""
    responses: int
    """Number of their responses to questions of the catalogue."""
    items: int
    """Number of items of the model, which are questions or sets of skills, with responses."""
    items_total: int
    """Number of items of the model."""
    held_out_students: int
    """Number of students whom the fit that is scored has not seen."""
    held_out_responses: int
    """Number of their responses."""
    log_loss_before: float | None
    """Mean loss of their responses under the model before, nats per response; None without held-out students."""
    log_loss_after: float | None
    """The same under a fit to the other students."""
    change: float | None
    """log_loss_after - log_loss_before: negative if the new model forecasts better."""
    change_se: float | None
    """Standard error of the change, by student; None for fewer than two held-out students."""
    digest_before: str
    """Digest of the model before."""
    digest: str
    """Digest of the model now."""
    is_stored: bool
    """True if the store has the new model, and other processes use it too."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return self._asdict()


def recalibrate(
    engine: AdaptiveEngine, source: str, held_out: float, refitting: Refitting | None, *, is_stored: bool
) -> tuple[Recalibration, StudentModel]:
    """Return the report of a recalibration and the new model, see `AdaptiveEngine.recalibrate`.

    source     see `stored_model.source_of`; "" for a model that cannot be stored
    is_stored  True to put the new model into the store
    """
    found, fields = refitted(engine, engine.model.model, held_out, refitting)
    new = EngineModel(found.model, engine.catalogue)
    made = found.model if isinstance(found.model, BaseStudentModel) and source and is_stored else None
    if made is not None:
        write_model(engine.store, source, made)
    report = Recalibration(
        model=type(found.model).__name__,
        items_total=len(new.model.items),
        digest_before=engine.digest,
        digest=f"{engine.states.digest_with(new):016x}",
        is_stored=made is not None,
        **fields,
    )
    return report, found.model


def refitted(
    engine: AdaptiveEngine, old: StudentModel, held_out: float, refitting: Refitting | None
) -> tuple[Refit, dict[str, Any]]:
    """Return the refitted model of an engine, and the fields of the report that concern the log and the scores."""
    share = _checked_share(held_out)
    log = model_log(engine, old)
    answered = np.unique(log.item)

    def fitted(part: Responses) -> Refit:
        if refitting is None:
            return fit_again(old, engine.catalogue, part)
        made = refitting(part, old)
        if not isinstance(made, StudentModel):
            raise EngineError(f"refit must return a StudentModel; got {describe(made)}")
        return Refit(made, np.isin(np.arange(len(made.items)), made.items.codes(part)))

    is_held = np.array([hash_of(f"held out:{name}") < share * 2.0**64 for name in log.students.tolist()])
    scores: dict[str, Any] = dict.fromkeys(("log_loss_before", "log_loss_after", "change", "change_se"))
    held = log.subset(np.flatnonzero(is_held))
    if 0 < is_held.sum() < len(is_held):
        new = fitted(log.subset(np.flatnonzero(~is_held))).model
        scores = _scores(held, _losses(old, held), _losses(new, held))
    counts = {
        "students": log.num_students,
        "responses": len(log),
        "items": len(answered),
        "held_out_students": int(is_held.sum()) if scores["change"] is not None else 0,
        "held_out_responses": len(held) if scores["change"] is not None else 0,
    }
    return fitted(log), counts | scores


def model_log(engine: AdaptiveEngine, model: StudentModel) -> Responses:
    """Return all responses in the log of an engine, with the items of a student model.

    Responses to items that the catalogue does not have, or no longer has as questions, are left out. Raises EngineError
    if none remains.
    """
    catalogue, names = engine.catalogue, model.items.names
    students: list[str] = []
    items: list[str] = []
    skills: list[list[str]] = []
    correct: list[int] = []
    seconds: list[float] = []
    for student in engine.students():
        for entry in map(events.decode, engine.store.entries(student)):
            number = catalogue.index.get(entry["item"], -1) if entry["event"] == events.ANSWERED else -1
            if number >= 0 and catalogue.is_question[number]:
                students.append(student)
                items.append(str(names[engine.model.items[number]]))
                skills.append([catalogue.skills[k] for k in catalogue.assessed.of(number).tolist()])
                correct.append(int(entry["correct"] >= 0.5))
                seconds.append(entry["time"])
    if not correct:
        raise EngineError(
            "the log has no responses to questions of the catalogue, and nothing to fit a student model to: call "
            "recalibrate after process_response"
        )
    return Responses.from_arrays(students, correct, skill=skills, item=items, time=seconds, separator=None)


def _checked_share(share: Any) -> float:
    """Return the share of held-out students. Raises EngineError."""
    valid = isinstance(share, int | float | np.floating) and not isinstance(share, bool)
    if not valid or not 0 <= share < 1:
        raise EngineError(f"held_out must be a share of the students in [0, 1); got {describe(share)}")
    return float(share)


def _losses(model: StudentModel, log: Responses) -> Doubles:
    """Return the loss of each response under the forecasts of a model, (R,), nats."""
    chance = np.clip(forecasts(model, log), NEAREST, 1 - NEAREST)
    return np.asarray(-np.log(np.where(log.correct == 1, chance, 1 - chance)))


def _scores(log: Responses, before: Doubles, after: Doubles) -> dict[str, float | None]:
    """Return the mean losses, and their change with its standard error by student."""
    difference = after - before
    change, count = float(difference.mean()), log.num_students
    by_student = np.bincount(log.student, difference - change, minlength=count)
    se = float(np.sqrt((by_student**2).sum() * count / (count - 1)) / len(log)) if count > 1 else None
    means = {"log_loss_before": float(before.mean()), "log_loss_after": float(after.mean())}
    return {**means, "change": change, "change_se": se}


__all__ = ["Recalibration", "Refitting", "model_log", "recalibrate"]
