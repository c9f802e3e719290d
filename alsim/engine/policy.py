"""An adaptive engine as a teaching policy of the simulator: its recommender and its student model, for many learners.

The recommender and the student model are those of the engine. There is no store: the state of the learners is arrays.
"""

from __future__ import annotations

import copy
from typing import ClassVar, NamedTuple, Self

import numpy as np

from alsim.engine.correspondence import Cells, cells_of, nominal_course
from alsim.engine.directory import load_engine
from alsim.engine.engine import AdaptiveEngine
from alsim.engine.errors import EngineError
from alsim.engine.models import SECONDS_PER_HOUR
from alsim.engine.progress import Progress
from alsim.engine.recommenders import Recommender, Situation
from alsim.errors import AlsimError, InputTypeError
from alsim.models.student.base import NOT_ANSWERED, Students
from alsim.policies.base import PolicyDraws, Transitions, View
from alsim.types import Course, Doubles, Longs, Observation, Words, describe, short_repr


@short_repr
class EngineState(NamedTuple):
    """State of an engine in N lanes."""

    students: Students  # state of the student model
    interactions: Longs  # (N,) number of responses and contents so far
    last: Longs  # (N,) item of the catalogue of the last interaction, -1 before the first


class EnginePolicy:
    """Policy that teaches as an adaptive engine does.

    Each learner is a student without a store. The engine recommends one item, and the action is the cell of this item:
    its outcome and its difficulty or modality. The simulator draws the item of the cell that the learner meets, and the
    student model of the engine is updated by its response. Where the engine recommends nothing, because every skill is
    mastered, any item of the catalogue is equally likely. See `alsim.engine.correspondence.cells_of`.
    Mastery in observations is not read.

    engine  AdaptiveEngine, whose store is not used

    Raises InputTypeError for another object, and EngineError for a policy of the engine that learns across students or
    does not compute the probabilities of all candidates.
    """

    reads: ClassVar[Observation | None] = None
    stochastic = True

    def __init__(self, engine: AdaptiveEngine) -> None:
        if not isinstance(engine, AdaptiveEngine):
            raise InputTypeError(f"the policy engine needs an AdaptiveEngine; got {describe(engine)}")
        if type(engine.recommender).shares is Recommender.shares:
            raise EngineError(
                f"the policy {engine.recommender.name!r} of the engine does not compute the probabilities of all "
                "candidates, which the simulator needs: use 'guide' or 'alosi'"
            )
        self.name = "engine"
        self.catalogue, self.model, self.recommender = engine.catalogue, engine.model, engine.recommender
        self.threshold, self.seed = engine.threshold, engine.seed
        self._cells: Cells | None = None
        self._num_los, self._is_bank = len(engine.catalogue.skills), False

    def __repr__(self) -> str:
        """Return the names of the recommender and of the student model."""
        kind = type(self.model.model).__name__
        return f"<EnginePolicy: policy {self.name!r}, {self.recommender.name}, {kind}, {self.catalogue!r}>"

    @property
    def digest(self) -> str:
        """Text of everything on which decisions depend: recommender, threshold, catalogue, graph and student model."""
        due = f" {self.model.retention!r} {self.model.due_first}" if self.model.has_clock else ""
        return f"{self.recommender.name} {self.threshold!r} {self.model.digest:016x}{due}"

    def bind(self, course: Course) -> Self:
        """Return a copy for the bank of a course. Raises EngineError for skills that are no outcomes of the bank."""
        twin = copy.copy(self)
        twin._num_los, twin._is_bank = course.num_los, len(course.items) > 0
        twin._cells = cells_of(self.catalogue, course)
        return twin

    def start(self, n: int) -> EngineState:
        """Return the state of n learners without responses."""
        return EngineState(dict(self.model.model.start(n)), np.zeros(n, np.int64), np.full(n, -1, np.int64))

    def act(self, view: View, state: EngineState, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability."""
        situation = self._situation(view, state, draws)
        chosen = self.recommender.choose(situation, 1).items[:, 0]
        others = draws.integers(len(self.catalogue))
        actions = self.cells.action[np.where(chosen >= 0, chosen, others)]
        return actions, self._odds(situation)[np.arange(view.num_lanes), actions]

    def probabilities(self, view: View, state: EngineState, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A)."""
        return self._odds(self._situation(view, state, None))

    def learn(self, state: EngineState, transitions: Transitions) -> None:
        """Update the student model by the responses, in place."""
        x = transitions
        numbers = self.cells.by_item[x.items] if self._is_bank else self.cells.by_action[x.actions]
        known = x.active & (numbers >= 0)
        items = np.where(known, self.model.items[numbers], -1)
        correct = np.where(x.asks, x.correct, NOT_ANSWERED)
        self.model.model.update(state.students, items, correct, known & (items >= 0))
        if x.clock is not None:  # the next interaction starts at this time
            self.model.advance(state.students, x.clock * SECONDS_PER_HOUR, x.active)
        state.interactions[x.active] += 1
        state.last[x.active] = numbers[x.active]

    @property
    def cells(self) -> Cells:
        """Correspondence of items; without a bank, skills are outcomes by number. Raises EngineError."""
        if self._cells is None:
            self._cells = cells_of(self.catalogue, nominal_course(self.catalogue.skills))
        return self._cells

    def _situation(self, view: View, state: EngineState, draws: PolicyDraws | None) -> Situation:
        """Return what the recommender knows of the learners."""
        if view.num_los != self._num_los:
            raise AlsimError(
                f"the policy {self.name!r} is bound to {self._num_los} outcomes, but the view has {view.num_los}; call "
                "policy.bind with the course of this bank"
            )
        n = view.num_lanes
        mastery = self.model.mastery(state.students)
        ready = self.model.wanted(state.students, mastery, self.threshold)
        words: Words = np.zeros((n, 4), np.uint32)
        if draws is not None:
            words = np.stack([draws.words() for _ in range(4)], axis=1)
        nan, none = np.full(n, np.nan), np.full((n, 1), -1, np.int32)  # every item that was shown has its response
        progress = Progress(
            decisions=state.interactions,
            interactions=state.interactions,
            last=state.last,
            first_time=nan,
            last_time=nan,
            shown=none,
            counts=0 * none,
            trials=[[]] * n,
            classes=[""] * n,
        )
        return Situation.without_store(mastery, self.threshold, progress, words, self.seed, self.model, ready=ready)

    def _odds(self, situation: Situation) -> Doubles:
        """Return the probability of each action in each lane, (N, A)."""
        action, size = self.cells.action, len(self.cells.by_action)
        odds = self.recommender.shares(situation, action, size)
        empty = ~odds.any(axis=1)
        if empty.any():
            odds[empty] = np.bincount(action, minlength=size) / len(action)
        return odds


def of_directory(directory: str) -> EnginePolicy:
    """Return the policy of the engine in a directory. Raises EngineError for a directory without an engine."""
    return EnginePolicy(load_engine(directory, store="memory"))


__all__ = ["EnginePolicy", "EngineState", "of_directory"]
