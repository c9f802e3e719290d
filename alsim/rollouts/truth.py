"""The truth about recorded interactions: latent states, and chances of correct answers (clause S15.1).

The actions of a rollout are repeated in a kernel of their own, so that the kernels of rollouts do no further work.
Only code that scores a method may read the result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.dynamics import of_parameters, rules_fingerprint
from alsim.dynamics.transition import chance
from alsim.errors import AlsimError
from alsim.jit.compile import entry, lean_kernel, phase
from alsim.jit.references import borrow, by_reference
from alsim.jit.structs import leaves, load_row, present_or, store_row
from alsim.rollouts.columns import Column
from alsim.rollouts.kernels import begin_upcoming
from alsim.rollouts.plan import RolloutPlan
from alsim.rollouts.replay import Recorded, compare
from alsim.rollouts.rollout import Rollout
from alsim.simulator.layout import HARD, QUESTION, SLOT
from alsim.simulator.state import collective, new_columns, new_output, new_world
from alsim.simulator.step import interact, list_finished
from alsim.simulator.truth import check_chance, question_of, state_of
from alsim.types import (
    BLOCK,
    I0,
    NAN,
    ZERO,
    Floats,
    ItemTable,
    Learner,
    LearnerArrays,
    Longs,
    Scratch,
    f32,
    i8,
    i32,
    i64,
    u64,
)


class Truth(NamedTuple):
    """Latent states before each of M interactions; those of an LO are of the LO of its action."""

    ability: Floats  # (M,) logits
    mastery: Floats  # (M,) of the LO
    chance: Floats  # (M,) probability of a correct answer before it is drawn, NaN for content
    lo_state: Any  # (M,) each: state of the dynamics' own, of the LO; () if it declares none
    learner_state: Any  # (M,) each: state of the dynamics' own, of the learner

    def columns(self) -> dict[str, Column]:
        """Return the columns of a table of transitions by name, see `datasets.schema.truth_columns`."""
        columns: dict[str, Column] = {
            "ability": self.ability,
            "mastery": self.mastery,
            "chance": np.ma.masked_invalid(self.chance),
        }
        for part in ("lo_state", "learner_state"):
            columns |= {name.replace(".", "_"): column for name, column in leaves(getattr(self, part), part)}
        return columns


class Before(NamedTuple):
    """The lanes of a block before an interaction."""

    place: Longs  # (B,) row of the interaction, or -1 for a lane without an episode
    hours: Floats  # (B,) since the episode began
    learner: Any  # Learner of arrays (B,), with the LO of the action


class TruthReplay:
    """Replay of the rollouts of a plan, which returns the truth about their interactions.

    plan      plan of the rollouts
    capacity  largest number of episodes of a rollout

    Raises AlsimError for a dynamics that declares no chance of a correct answer.
    """

    def __init__(self, plan: RolloutPlan, capacity: int) -> None:
        self._dynamics = of_parameters(type(plan.config.dynamics))
        check_chance(self._dynamics)
        world = new_world(plan.config, plan.bank, min(BLOCK, capacity), responses=False, record=False, clock=True)
        world.learners.key[:] = plan.seed
        lanes = len(world.learners.key)
        output = new_output(lanes, np.empty(0, f32))
        self._rules = rules_fingerprint(type(world.parameters))
        self._referenced = world, output  # keeps alive the arrays that the references borrow
        self._world, self._output = by_reference(world), by_reference(output)
        self._current, self._actions = np.zeros(lanes, i64), np.zeros(lanes, i64)
        floats = [np.zeros(lanes, f32) for _ in range(4)]
        own = new_columns(self._dynamics.lo_state, lanes), new_columns(self._dynamics.learner_state, lanes)
        self._before = Before(
            place=np.zeros(lanes, i64),
            hours=np.zeros(lanes, f32),
            learner=collective(Learner, *floats, np.zeros(lanes, i32), *own),
        )

    def __call__(self, run: Rollout) -> Truth:
        """Return the truth about a rollout of the plan. Raises AlsimError if the simulation gives other results."""
        x, length = run.interactions, run.interactions.length
        columns = (run.learner_id, run.episode, np.cumsum(length) - length, length, run.reason, x.action, x.reward)
        kinds = (i64, i64, i64, i64, i8, i64, f32)
        recorded = Recorded(*(np.ascontiguousarray(c, kind) for c, kind in zip(columns, kinds, strict=True)))
        rows = len(x.action)
        truth = Truth(
            ability=np.empty(rows, f32),
            mastery=np.empty(rows, f32),
            chance=np.empty(rows, f32),
            lo_state=new_columns(self._dynamics.lo_state, rows),
            learner_state=new_columns(self._dynamics.learner_state, rows),
        )
        arguments = (self._world, self._output, recorded, self._current, self._actions, self._before, truth)
        differing = entry(replay_truth, *arguments, own_cache=self._rules)(*arguments)
        if differing >= 0:
            raise AlsimError(
                f"the replay of learner {run.learner_id[differing]} in episode {run.episode[differing]} differs from "
                "the rollout; pass the plan of the rollout"
            )
        return truth


@lean_kernel
def replay_truth(
    world: Any, output: Any, recorded: Recorded, current: Longs, actions: Longs, before: Before, truth: Truth
) -> int:
    """Repeat the recorded actions of all episodes, and write the truth about each interaction.

    current, actions, before  (B,) scratch: the episode, the action, and the state of each lane

    Returns -1, or the index of an episode whose interactions differ from the recorded ones.
    """
    w, out = borrow(world), borrow(output)
    lanes, scratch, listed = w.learners, w.scratch, w.scratch.listed
    parameters = present_or(lanes.parameters, w.parameters)
    episodes, count = len(recorded.learner), len(lanes.key)
    upcoming, done, ended = 0, 0, count
    for k in range(count):
        listed[k] = k
    while done < episodes:
        upcoming = begin_upcoming(w, ended, recorded.learner, recorded.episode, upcoming, current, episodes)
        take_states(lanes, w.items, w.scale.num_los, recorded, current, actions, before, truth, count)
        interact(w, actions, out, 0, count)
        record_chances(parameters, w.items, scratch, before, truth, count)
        differing = compare(lanes, scratch, out, current, recorded, count)
        if differing >= 0:
            return differing
        ended = list_finished(lanes.finished, listed, 0, 0, count)
        for j in range(ended):
            done += int(current[listed[j]] < episodes)
    return -1


@phase
def take_states(
    lanes: LearnerArrays,
    table: ItemTable,
    num_los: int,
    recorded: Recorded,
    current: Longs,
    actions: Longs,
    before: Before,
    truth: Truth,
    count: int,
) -> None:
    """Read the recorded action of each lane's next interaction, and write the states before it."""
    for k in range(count):
        e = current[k]
        actions[k], before.place[k] = 0, -1
        if e < len(recorded.first):
            place = u64(recorded.first[e] + i64(lanes.step[k]))
            action = recorded.action[place]
            lo = u64(table.cells[u64(action)]["learning_outcome"])
            learner = state_of(lanes, u64(k), lo, u64(num_los))
            actions[k], before.place[k] = action, i64(place)
            before.hours[k] = f32(lanes.hours[k])
            store_row(before.learner, u64(k), learner)
            truth.ability[place], truth.mastery[place] = learner.ability, learner.mastery
            store_row(truth.lo_state, place, learner.lo_state)
            store_row(truth.learner_state, place, learner.learner_state)


@phase
def record_chances(
    parameters: Any, table: ItemTable, scratch: Scratch, before: Before, truth: Truth, count: int
) -> None:
    """Write the chance of a correct answer to the question that each lane was asked, NaN for content."""
    ints = scratch.ints
    for k in range(count):
        if before.place[k] >= 0:
            place = u64(before.place[k])
            truth.chance[place] = NAN
            if ints[QUESTION + k] != I0:
                slot, unready = table.slots[u64(ints[SLOT + k])], present_or(load_row(scratch.unready, u64(k)), ZERO)
                item = question_of(slot, ints[HARD + k] != I0, unready, before.hours[k])
                truth.chance[place] = chance(load_row(parameters, u64(k)), load_row(before.learner, u64(k)), item)


__all__ = ["Truth", "TruthReplay", "check_chance"]
