"""The truth about simulated learners: latent state, and chances of correct answers (clause S15.1).

Only code that scores a method may read it, and policies that declare `needs_truth`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.config import class_of
from alsim.dynamics import Dynamics, of_parameters, rules_fingerprint
from alsim.dynamics.transition import chance
from alsim.errors import AlsimError, InputTypeError
from alsim.jit.compile import entry, lean_kernel, rule
from alsim.jit.references import borrow
from alsim.jit.structs import is_absent, leaves, load_row, present_or
from alsim.simulator.clock import hours_of
from alsim.simulator.own_state import missing_of_parents
from alsim.types import DIFFICULTIES, ZERO, Bools, Floats, Item, Learner, LearnerArrays, Longs, u64

if TYPE_CHECKING:
    from alsim.simulator.simulator import Simulator


class Questions(NamedTuple):
    """K questions whose chances are wanted."""

    slot: Longs  # (K,) position in the table of items
    learning_outcome: Longs  # (K,)
    is_hard: Bools  # (K,)


@rule
def state_of(lanes: LearnerArrays, k: u64, lo: u64, num_los: u64) -> Learner:
    """Return the state of the learner in lane k that an interaction with an item of this LO may change."""
    return Learner(
        mastery=lanes.rows[k * (num_los + u64(2)) + lo],
        ability=lanes.ability[k],
        frustration=lanes.frustration[k],
        response_time=lanes.response_time[k],
        fail_streak=lanes.fail_streak[k],
        lo_state=load_row(lanes.lo_state, k * num_los + lo),
        learner_state=load_row(lanes.learner_state, k),
    )


@rule
def question_of(slot: Any, is_hard: Any, unready: Any, hours: Any) -> Item:
    """Return the question in a slot, a record of SLOT, as a learner meets it; see `Item` for the others."""
    return Item(
        is_question=True,
        is_hard=is_hard,
        a=slot["a"],
        b=slot["b"],
        c=slot["c"],
        response_time_mean=slot["response_time_mean"],
        response_time_std=slot["response_time_std"],
        effectiveness=slot["effectiveness"],
        impact=slot["impact"],
        unready=unready,
        hours=hours,
    )


@lean_kernel
def write_chances(world: Any, questions: Questions, chances: Floats) -> None:
    """Write the probability of a correct answer of each learner to each question, (N * K,)."""
    w = borrow(world)
    lanes, num_los, count = w.learners, w.scale.num_los, len(questions.slot)
    parameters = present_or(lanes.parameters, w.parameters)
    for lane in range(len(lanes.key)):
        k, row = u64(lane), u64(lane * (num_los + 2))
        for j in range(count):
            slot, lo = w.items.slots[questions.slot[j]], u64(questions.learning_outcome[j])
            unready = present_or(missing_of_parents(w.graph, lanes.rows, row, lo), ZERO)
            item = question_of(slot, questions.is_hard[j], unready, hours_of(lanes.hours, k))
            chances[lane * count + j] = chance(load_row(parameters, k), state_of(lanes, k, lo, u64(num_los)), item)


def truth_of(simulator: Simulator, questions: Any = None) -> dict[str, NDArray[Any]]:
    """Return the latent state of all learners as new arrays, see `AdaptiveLearningVectorEnv.truth`."""
    learners, lanes = simulator.learners, simulator.lanes
    truth: dict[str, NDArray[Any]] = {
        "ability": learners.ability.copy(),
        "mastery": simulator.mastery.copy(),
        "population_row": rows_of(simulator),
    }
    if (classes := simulator.config.classes) is not None:
        truth["class_id"] = class_of(learners.learner, classes.size)
    if not is_absent(learners.hours):
        truth["hours"] = learners.hours.copy()
    for part in ("lo_state", "learner_state"):
        shape = (lanes, -1) if part == "lo_state" else (lanes,)
        truth |= {name: column.reshape(shape).copy() for name, column in leaves(getattr(learners, part), part)}
    if questions is not None:
        truth["chance"] = chances_of(simulator, questions)
    return truth


def rows_of(simulator: Simulator) -> NDArray[np.int32]:
    """Return the row of the population of each learner, (N,)."""
    learners = simulator.learners
    if is_absent(learners.row):
        return np.zeros(simulator.lanes, np.int32)
    rows: NDArray[np.int32] = np.where(learners.row < 0, ~learners.row, learners.row)
    return rows


def check_chance(dynamics: Dynamics) -> None:
    """Raise AlsimError for a dynamics that does not declare its chance of a correct answer."""
    if dynamics.chance is None:
        raise AlsimError(
            f"the dynamics {dynamics.name!r} declares no chance of a correct answer; pass chance=... to "
            "alsim.register_dynamics"
        )


def chances_of(simulator: Simulator, questions: Any) -> Floats:
    """Return the probability of a correct answer of each learner to each question, (N, K), before it is drawn.

    questions  indices of K questions in the bank

    Raises AlsimError for other indices, and for a dynamics that does not declare its chance.
    """
    check_chance(of_parameters(type(simulator.config.dynamics)))
    index = np.asarray(questions)
    number = simulator.bank.num_questions
    if index.ndim != 1 or (len(index) and index.dtype.kind not in "iu"):
        raise InputTypeError(
            f"questions must be a list of indices of questions, such as [0, 1]; got {questions!r:.100}"
        )
    if len(index) and not (index.min() >= 0 and index.max() < number):
        raise AlsimError(f"questions must be in [0, {number}); got {index.min()} to {index.max()}")
    index = index.astype(np.int64)
    bank = simulator.bank
    place = np.empty(len(bank.table.slots), np.int64)
    place[bank.table.slots["item"]] = np.arange(len(place))
    wanted = Questions(
        slot=place[index],
        learning_outcome=bank.questions.learning_outcome[index].astype(np.int64),
        is_hard=bank.questions.difficulty[index] == DIFFICULTIES.index("Hard"),
    )
    chances: Floats = np.empty(simulator.lanes * len(index), np.float32)
    arguments = (simulator.reference, wanted, chances)
    entry(write_chances, *arguments, own_cache=rules_fingerprint(type(simulator.config.dynamics)))(*arguments)
    return chances.reshape(simulator.lanes, len(index))


__all__ = ["chances_of", "check_chance", "question_of", "rows_of", "state_of", "truth_of"]
