"""Questions about the outcome that a student model estimates to be the least mastered."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.mdp.actions import LEVELS
from alsim.models.student import BKTModel, Items, StudentModel, TimedStudentModel, load_student_model
from alsim.models.student.base import NOT_ANSWERED
from alsim.policies.action_masks import los_with_actions
from alsim.policies.base import PolicyDraws, Transitions, View, one_hot
from alsim.policies.binding import capacity, check_num_los
from alsim.types import Course, Doubles, Longs, Observation, describe

EASY_BELOW, MEDIUM_BELOW = 0.4, 0.7
"""Estimated mastery below which questions are Easy, and below which they are Medium; otherwise Hard."""
FRUSTRATED = 0.5
"""Frustration above which a video is shown instead of a question."""


class StudentModelPolicy:
    """Policy that teaches the weakest outcome, by a student model.

    It follows each learner with a student model, and teaches the outcome of lowest estimated mastery.
    It asks an Easy question while the estimate is below 0.4, a Medium one below 0.7, and a Hard one above. When
    frustration is above one half, it shows a video about this outcome. Among equal estimates, the first outcome is
    chosen. It reads answers and frustration, and not the mastery in observations. A model that knows time, as
    `TimedStudentModel`, has the clock of each learner, and also counts contents.

    model  StudentModel whose items are the outcomes, or the cells of questions (`Items.of_cells`) of the bank

    Raises InputTypeError for another object, and AlsimError where its items do not fit the bank.
    """

    reads: ClassVar[Observation | None] = None
    stochastic = False

    def __init__(self, model: StudentModel) -> None:
        if isinstance(model, type) or not isinstance(model, StudentModel):
            raise InputTypeError(
                f"the policy student needs a student model; got {describe(model)}; make one with "
                "alsim.models.student.student_model(fit)"
            )
        self.name, self.model = "student", model
        self._course: Course | None = None

    def __repr__(self) -> str:
        """Return the name and the student model."""
        return f"<{type(self).__name__}: policy {self.name!r}, {self.model!r}>"

    @property
    def digest(self) -> str:
        """Digest of the parameters of the model."""
        return _digest(self.model)

    def bind(self, course: Course) -> Self:
        """Return a copy that teaches the outcomes of a course. Raises AlsimError if the model has other items."""
        twin = copy.copy(self)
        twin._course = course
        twin._check_items(course.num_los)
        return twin

    def start(self, n: int) -> dict[str, Any]:
        """Return the state of n learners without responses."""
        return dict(self.model.start(n))

    def act(self, view: View, state: dict[str, Any], draws: PolicyDraws | None) -> tuple[Longs, Doubles]:
        """Return the action of each lane, and its probability 1."""
        check_num_los(self.name, self._course, view.num_los)
        mastery = self._checked_mastery(view, self.model.mastery(state))
        if view.mask is not None:
            mastery = np.where(los_with_actions(view.mask), mastery, np.inf)
        lo = mastery.argmin(axis=1)
        lowest = mastery[np.arange(len(lo)), lo]
        level = (lowest >= EASY_BELOW).astype(np.int64) + (lowest >= MEDIUM_BELOW)
        actions = np.where(view.frustration > FRUSTRATED, view.content(lo, "video"), view.question(lo, level))
        return actions, np.ones(view.num_lanes)

    def probabilities(self, view: View, state: dict[str, Any], draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A): 1 for the action of `act`."""
        return one_hot(self.act(view, state, None)[0], view.num_actions)

    def learn(self, state: dict[str, Any], transitions: Transitions) -> None:
        """Update the state of each learner with the answer, in place."""
        x = transitions
        items = np.where(x.asks, x.los if self._has_skills(x.num_los) else LEVELS * x.los + x.levels, -1)
        if not isinstance(self.model, TimedStudentModel):
            self.model.update(state, items, x.correct, x.active & x.asks)
            return
        items = np.where(x.asks, items, x.los if self._has_skills(x.num_los) else LEVELS * x.los)
        self.model.update(state, items, np.where(x.asks, x.correct, NOT_ANSWERED), x.active)
        if x.clock is not None:  # the next interaction starts at this time, and so does its review
            self.model.advance(state, x.clock, x.active)

    def _checked_mastery(self, view: View, found: Any) -> Doubles:
        """Return the estimates of the outcomes, (N, L). Raises AlsimError for another shape, and for NaN."""
        skills = view.num_los if self._course is not None else self.model.items.num_skills
        if not isinstance(found, np.ndarray) or found.shape != (view.num_lanes, skills):
            raise AlsimError(
                f"the mastery of the student model of the policy {self.name!r} must be an array of shape "
                f"{(view.num_lanes, skills)}; got {describe(found)}; correct its method mastery"
            )
        mastery = found[:, : view.num_los]
        invalid = view.active & np.isnan(mastery).any(axis=1)
        if invalid.any():
            lane = int(np.argmax(invalid))
            raise AlsimError(
                f"the mastery of the student model of the policy {self.name!r} is NaN in lane {lane}; correct its "
                "method mastery"
            )
        return mastery

    def _has_skills(self, num_los: int) -> bool:
        """Return whether the items of the model are the outcomes, and not cells of questions."""
        return len(self.model.items) == self.model.items.num_skills

    def _check_items(self, num_los: int) -> None:
        """Raise AlsimError unless the items of the model are the outcomes of a course, or their cells of questions."""
        items, skills = len(self.model.items), self.model.items.num_skills
        if skills != num_los or items not in (num_los, LEVELS * num_los):
            raise AlsimError(
                f"the student model of the policy {self.name!r} has {items} items and {skills} skills; expected "
                f"{num_los} skills, and {num_los} items or {LEVELS * num_los}; make it with Items.of_skills({num_los}) "
                f"or Items.of_cells({num_los})"
            )


class BKT(StudentModelPolicy):
    """Policy that teaches the weakest outcome, by BKT.

    It follows each learner with Bayesian knowledge tracing, and teaches the outcome of lowest estimated mastery.
    The parameters are those of the guide: p_init = .3, p_learn = .1, p_guess = .2, p_slip = .1. They are not fitted.
    Questions and videos are chosen as in StudentModelPolicy.

    Source: Corbett & Anderson (1995), Knowledge tracing, User Modeling and User-Adapted Interaction 4.
    """

    def __init__(self) -> None:
        super().__init__(BKTModel(Items.of_skills(capacity(None))))
        self.name = "bkt"

    def bind(self, course: Course) -> Self:
        """Return a copy that follows the outcomes of a course."""
        twin = copy.copy(self)
        twin.model = BKTModel(Items.of_skills(course.num_los))
        twin._course = course
        return twin


def student_policy(file: str) -> StudentModelPolicy:
    """Return a policy that teaches the weakest outcome, by a student model.

    file  path of a file that `save` of a student model, or of a fit, wrote
    """
    return StudentModelPolicy(load_student_model(Path(file)))


def _digest(model: Any) -> str:
    """Return a digest of the items and the parameters of a student model."""
    content = hashlib.sha256("\n".join([type(model).__name__, *map(str, model.items.names)]).encode())
    arrays = model.arrays() if callable(getattr(model, "arrays", None)) else {}
    for name, array in sorted(arrays.items()):
        content.update(name.encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


__all__ = ["BKT", "StudentModelPolicy", "student_policy"]
