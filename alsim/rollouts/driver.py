"""Episodes of policies in Python: all lanes advance together, and the policy is called once per interaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.course import course_of
from alsim.metrics import add_time
from alsim.policies import PolicyDraws, Transitions, View, masks, memory
from alsim.policies.base import has_memory
from alsim.policies.binding import bound
from alsim.policies.exceptions import naming
from alsim.policies.nested import needs_truth
from alsim.policies.rounds import first_state, round_size_of
from alsim.rollouts.kernels import EpisodeSummaries, Trajectories
from alsim.rollouts.lookahead import Lookahead
from alsim.rollouts.plan import RolloutPlan
from alsim.simulator.simulator import Simulator
from alsim.simulator.step import DISABLED
from alsim.types import Bools, Doubles, Floats, Longs, Purpose, f32, f64, i8, i32


def run_in_python(plan: RolloutPlan, learner: Longs, episode: Longs) -> tuple[Trajectories, EpisodeSummaries]:
    """Run episode[i] of learner[i] in lane i, for all i, (E,) each. Raises AlsimError for an invalid decision."""
    simulator = Simulator(
        plan.config,
        plan.bank,
        len(learner),
        observation=plan.observation,
        record=True,
        num_threads=plan.num_threads,
    )
    learners = simulator.learners
    learners.key[:], learners.learner[:], learners.episode[:] = plan.seed, learner, episode
    simulator.begin(np.arange(len(learner)))
    recorder = _Recorder(simulator, keep_observations=plan.keep_observations)
    with naming(plan.policy):
        policy = bound(plan.policy, course_of(plan.bank, plan.config))
        if round_size_of(policy) is not None:  # alone, learners meet it as it is in the first round
            policy = first_state(policy)
    learns = has_memory(policy)
    observed = recorder.view if not needs_truth(policy) else replace(recorder.view, truth=Lookahead(simulator))
    with naming(policy):
        state = memory.start(policy, len(learner))
    try:
        while recorder.active.any():
            draws = PolicyDraws(lambda block: simulator.words(Purpose.POLICY, block))
            view = masks.with_mask(observed, plan.action_mask, plan.places(learner))
            with naming(policy):
                actions, propensities = masks.act(policy, view, state, draws)
            before = recorder.view.observation.copy() if learns else None
            active = recorder.active.copy()
            recorder.step(actions, propensities)
            if before is not None:
                with naming(policy):
                    state = memory.learn(policy, state, recorder.transitions(before, active, propensities))
    finally:
        simulator.close()
    return recorder.trajectories(), recorder.summaries()


class _Recorder:
    """Recorder of the interactions of all lanes, and of the part of them that the policy may observe."""

    def __init__(self, simulator: Simulator, *, keep_observations: bool) -> None:
        lanes = simulator.lanes
        self._simulator = simulator
        self.active = np.ones(lanes, np.bool_)
        self._last_seconds, self._clock = np.zeros(lanes, f32), np.zeros(lanes)
        self.view = View(
            observation=_read_only(simulator.observation),
            kind=simulator.observation_kind,
            num_los=simulator.bank.num_los,
            active=_read_only(self.active),
            last_seconds=_read_only(self._last_seconds),
            clock=_read_only(self._clock),
        )
        self._ability_start = simulator.learners.ability.copy()
        self._ability_final = np.zeros(lanes, f32)
        self._final_obs = np.zeros_like(simulator.observation)
        self._retention = np.zeros(lanes)
        self._reason, self._length = np.zeros(lanes, i8), np.zeros(lanes, np.int64)
        self._observations: list[Floats] | None = [] if keep_observations else None
        self._columns: list[tuple[NDArray[Any], ...]] = []
        self._rewards: Floats = np.zeros(lanes, f32)

    def step(self, actions: Longs, propensities: Doubles) -> None:
        """Advance every lane by one interaction, and record it."""
        simulator, view, interaction = self._simulator, self.view, self._simulator.interaction
        if self._observations is not None:
            self._observations.append(view.observation.copy())
        out = simulator.step(actions, DISABLED)
        seconds, item, correct = interaction.seconds.copy(), interaction.item.copy(), interaction.correct.copy()
        gain, frustration = interaction.gain.copy(), interaction.frustration.copy()
        mean_mastery = interaction.mastery_sum / simulator.bank.num_los
        self._columns.append(
            (actions, out.reward.copy(), item, correct, gain, seconds, frustration, mean_mastery, propensities)
        )
        self._rewards = out.reward.astype(f32)
        view.actions.append(_read_only(actions))
        view.items.append(_read_only(item))
        view.correct.append(_read_only(np.where(np.isnan(seconds), np.int8(-1), correct).astype(np.int8)))
        view.seconds.append(_read_only(seconds))
        add_time(self._clock, item, seconds, len(self._columns) - 1, simulator.bank, simulator.config)
        np.copyto(self._last_seconds, seconds, where=~np.isnan(seconds))
        ended = self.active & (out.reason != 0)
        if ended.any():
            self._final_obs[ended] = view.observation[ended]
            self._ability_final[ended] = simulator.learners.ability[ended]
            self._retention[ended] = simulator.retention()[ended]
            self._reason[ended], self._length[ended] = out.reason[ended], len(self._columns)
            self.active[ended] = False

    def transitions(self, before: Floats, active: Bools, propensities: Doubles) -> Transitions:
        """Return the last interaction of each lane.

        before  observations before it, (N, R)
        active  lanes whose episode had not ended before it, (N,)
        """
        view = self.view
        return Transitions(
            observation=_read_only(before),
            next_observation=view.observation,
            kind=view.kind,
            num_los=view.num_los,
            actions=view.actions[-1],
            propensities=_read_only(propensities),
            items=view.items[-1],
            correct=view.correct[-1],
            seconds=view.seconds[-1],
            rewards=_read_only(self._rewards),
            active=_read_only(active),
            ended=_read_only(active & ~self.active),
            last_seconds=view.last_seconds,
            clock=view.clock,
        )

    def trajectories(self) -> Trajectories:
        """Return the interactions, episode by episode."""
        length = self._length
        lane = np.repeat(np.arange(len(length)), length)
        step = np.arange(len(lane)) - np.repeat(np.cumsum(length) - length, length)
        columns = (np.stack(column)[step, lane] for column in zip(*self._columns, strict=True))
        kinds = (i32, f32, i32, np.bool_, f32, f32, f32, f64, f64)
        stored = self._observations
        observation = np.empty(0, f32) if stored is None else np.stack(stored)[step, lane].reshape(-1)
        interactions: list[Any] = [column.astype(kind) for column, kind in zip(columns, kinds, strict=True)]
        return Trajectories._make([*interactions, observation, np.empty(0, f32)])

    def summaries(self) -> EpisodeSummaries:
        """Return the summaries of the episodes."""
        return EpisodeSummaries(
            length=self._length,
            reason=self._reason,
            ability_start=self._ability_start,
            ability_final=self._ability_final,
            observation=self._final_obs.reshape(-1),
            retention=self._retention,
            first=np.empty(0, f32),
        )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view of an array, for a policy."""
    view = array.view()
    view.flags.writeable = False
    return view
