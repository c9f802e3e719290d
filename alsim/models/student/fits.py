"""Student models from fitted models, and their forecasts of response logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from alsim.models.base import Fit, ModelError
from alsim.models.student.base import BaseStudentModel, StudentModel, TimedStudentModel
from alsim.models.student.clock import Clock
from alsim.models.student.files import class_of
from alsim.responses.log import Responses, check_answers
from alsim.types import Doubles, describe

WITH_FIT = ("bkt", "irt", "pfa", "dkt", "hlr")
"""Models whose fits are student models."""

BLOCK = 1024
"""Number of students that are forecast together."""


def student_model(source: Fit | Mapping[str, Any], items: Any = None) -> BaseStudentModel:
    """Return the student model of a fit.

    source  fit of bkt, irt, pfa, dkt or hlr; or a dictionary {skill: BKT}
    items   Items; a number or list of skills; or {item: skill or skills}. By default, the skills of the fit, or the
            items of a fit of irt. `Items.of_log(log)` are those of a log

    Skills and items that are not in the fit have its mean parameters, as in `Fit.predict`. Raises ModelError for any
    other source.
    """
    if isinstance(source, Mapping):
        from alsim.models.student.bkt import BKTModel

        return BKTModel.of_skills(source, items)
    if not isinstance(source, Fit):
        raise ModelError(f"a student model is made from a fit or from {{skill: BKT}}; got {describe(source)}")
    if source.model not in WITH_FIT:
        raise ModelError(f"a fit of {source.model!r} does not follow students; expected a fit of {', '.join(WITH_FIT)}")
    made: BaseStudentModel = class_of(source.model).of_fit(source, items)  # type: ignore[attr-defined]  # of WITH_FIT
    return made


class Followed(NamedTuple):
    """Results of a student model that has followed the S students of a log, with R responses and K skills."""

    chance: Doubles
    """Probability that each response is correct, given the student's earlier ones, (R,)."""
    mastery: Doubles
    """Mastery of each skill after the last response of each student, (S, K)."""


def followed(model: StudentModel, log: Responses) -> Followed:
    """Return the forecasts of a student model for a log, see `forecasts`, and the mastery at its end."""
    mastery = np.empty((log.num_students, model.items.num_skills))
    return Followed(_run(model, log, mastery), mastery)


def forecasts(model: StudentModel, log: Responses) -> Doubles:
    """Return the probability (R,) that each response of a log is correct, given the student's earlier ones.

    model  a student model, whose items include those of the log

    A model with a clock, as `TimedStudentModel`, reads the times of the log; models of memory also read its study
    events. For `student_model(fit, Items.of_log(log))`, the result is that of `fit.predict(log)`, up to rounding.
    Raises ModelError for unknown items, for a model with a clock and a log without times, and for times that run
    backwards; ResponsesError for partial credit.
    """
    return _run(model, log, None)


def _run(model: StudentModel, log: Responses, mastery: Doubles | None) -> Doubles:
    """Return the forecasts of a log, and write the mastery (S, K) at its end, unless it is None."""
    check_answers(log, "forecasts of a student model")
    items, lengths = model.items.codes(log), np.diff(log.start)
    clock = Clock.of(model, log) if isinstance(model, TimedStudentModel) else None
    longest_first = np.argsort(-lengths, kind="stable")
    out = np.empty(len(log))
    for begin in range(0, len(lengths), BLOCK):
        block = longest_first[begin : begin + BLOCK]
        first, length = log.start[block], lengths[block]
        names = log.students[block]
        students = model.start_of(names) if isinstance(model, BaseStudentModel) else model.start(len(block))
        for t in range(length.max(initial=0)):
            remaining = int(np.count_nonzero(length > t))
            rows = {name: values[:remaining] for name, values in students.items()}
            place = first[:remaining] + t
            if clock is not None:
                clock.set(rows, place)
            out[place] = model.chance(rows, items[place])
            model.update(rows, items[place], log.correct[place])
        if mastery is not None:
            mastery[block] = model.mastery(students)
    return out
