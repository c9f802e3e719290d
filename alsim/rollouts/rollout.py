"""Rollouts: a policy teaches learners, each (learner, episode) in a lane of its own, until the episode summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.arguments import read_learner, read_observation, read_positive, read_rules, read_seed
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.errors import AlsimError, InputTypeError
from alsim.metrics import EpisodeMetrics, Events, Interactions, episode_metrics, events
from alsim.policies import Policy, PolicyDraws, View, is_rule, make_policy
from alsim.rollouts.collector import Collector, episodes_at_once
from alsim.rollouts.kernels import EpisodeSummaries, Trajectories
from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.types import MAX_LEARNERS, Bools, Codes, Doubles, Floats, Longs, Observation, Purpose, Reason

BLOCK_EPISODES, USUAL_STEPS = 4096, 140
"""Episodes of a shard; driven from Python, they run side by side. Few enough for what happens in them to stay small."""


def block_episodes(config: Config) -> int:
    """Episodes of a shard under `config`: fewer where episodes are longer, so that memory stays bounded."""
    return max(1, BLOCK_EPISODES * USUAL_STEPS // max(USUAL_STEPS, config.max_episode_steps))


@dataclass(frozen=True)
class Rollout:
    """M interactions of E episodes, learner by learner, episode by episode."""

    config: Config
    bank: Bank
    observation: Observation
    learner_id: Longs
    """(E,)"""
    episode: Longs
    """(E,)"""
    interactions: Interactions
    obs: Floats | None
    """(M, R) float32, before each interaction; None if it was not kept."""
    final_obs: Floats
    """(E, R) float32, after each episode's last interaction."""
    propensity: Doubles
    """(M,) the policy's probability of each action."""
    reason: Codes
    """(E,) Reason that each episode ended for."""
    ability_start: Floats
    """(E,) logits; latent, for whoever scores a method against the truth."""
    ability_final: Floats
    """(E,) logits; latent."""

    @cached_property
    def metrics(self) -> EpisodeMetrics:
        """Metrics of every episode (clauses S9.1 to S9.6)."""
        return episode_metrics(self.interactions, self.bank, self.config)

    @cached_property
    def events(self) -> Events:
        """Events of every interaction (clause S10.1)."""
        return events(self.interactions, self.bank)

    @cached_property
    def termination_reason(self) -> Codes:
        """Reason (M,), NONE but for each episode's last interaction."""
        reasons = np.zeros(len(self.propensity), np.int8)
        reasons[self.interactions.last] = self.reason
        return reasons

    @property
    def truncated(self) -> Bools:
        """Whether an interaction was its episode's last by the step limit, (M,)."""
        return np.asarray(self.termination_reason == Reason.STEP_LIMIT)

    @property
    def terminated(self) -> Bools:
        """Whether an interaction was its episode's last for another reason, (M,)."""
        return np.asarray((self.termination_reason != Reason.NONE) & ~self.truncated)


def rollout(
    policy: str | Path | Policy = "uniform",
    *,
    num_learners: int = 200,
    episodes_per_learner: int = 1,
    seed: int = 0,
    first_learner: int = 0,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    num_threads: int = 1,
    keep_observations: bool = True,
) -> Rollout:
    """Let a policy teach learners, and return what happened.

    policy                name of a registered policy, directory of a trained one, or a policy
    num_learners          learners first_learner, first_learner + 1, … of the seed
    episodes_per_learner  each a fresh draw of the learner (clause S1.6)
    first_learner         2**31 and above are held out from training and datasets (clause S11.4)
    config, bank, dynamics, observation   as of the environments
    num_threads           of a policy that is a rule, so many threads teach episodes of their own, in up to 25 MB each;
                          of another, they share each step
    keep_observations     False leaves `obs` out, which is most of the memory

    The same arguments give the same bits. Raises ValueError or TypeError for arguments that cannot be, and
    for actions and propensities of the policy that cannot be.
    """
    plan = read_plan(
        policy,
        num_learners,
        episodes_per_learner,
        seed,
        first_learner,
        config,
        bank,
        dynamics,
        observation,
        num_threads,
    )
    if is_compiled(plan, keep_observations=keep_observations):
        return run_block(plan, 0, plan.num_episodes, keep_observations=keep_observations)
    edges = block_edges(plan)
    return _joined([run_block(plan, *block, keep_observations=keep_observations) for block in edges])


class RolloutPlan(NamedTuple):
    """Who is taught by whom, under which rules: the arguments of a rollout, read and checked."""

    config: Config
    bank: Bank
    policy: Policy
    observation: Observation
    seed: int
    first_learner: int
    num_learners: int
    episodes_per_learner: int
    num_threads: int

    @property
    def num_episodes(self) -> int:
        """Episodes of all learners."""
        return self.num_learners * self.episodes_per_learner


def read_plan(
    policy: str | Path | Policy,
    num_learners: int,
    episodes_per_learner: int,
    seed: int,
    first_learner: int,
    config: Config | Mapping[str, Any] | str | Path | None,
    bank: Bank | Mapping[str, Any] | str | Path | None,
    dynamics: Any,
    observation: str,
    num_threads: int,
) -> RolloutPlan:
    """Return the arguments of `rollout`, read and checked. Raises AlsimError."""
    settings, items = read_rules(config, bank, dynamics)
    plan = RolloutPlan(
        config=settings,
        bank=items,
        policy=make_policy(policy),
        observation=read_observation(observation),
        seed=read_seed(seed),
        first_learner=read_learner(first_learner, "first_learner"),
        num_learners=read_positive(num_learners, "num_learners"),
        episodes_per_learner=read_positive(episodes_per_learner, "episodes_per_learner"),
        num_threads=read_positive(num_threads, "num_threads"),
    )
    if plan.first_learner > MAX_LEARNERS - plan.num_learners:
        raise AlsimError(
            f"learners are in [0, 2**32); got first_learner = {plan.first_learner} and "
            f"num_learners = {plan.num_learners}"
        )
    return plan


def block_edges(plan: RolloutPlan, episodes: int | None = None) -> list[tuple[int, int]]:
    """Return the first episode of each block of a plan, and the one after its last; `episodes` are a block's."""
    total, block = plan.num_episodes, episodes or block_episodes(plan.config)
    return [(start, min(start + block, total)) for start in range(0, total, block)]


def is_compiled(plan: RolloutPlan, *, keep_observations: bool = True) -> bool:
    """Whether a plan runs in compiled code: its policy is a rule, and its episodes fit a classroom."""
    fitting = episodes_at_once(plan.config, plan.bank, plan.observation, keep_observations)
    return is_rule(plan.policy) and fitting > 0


def new_collector(plan: RolloutPlan, episodes: int, *, keep_observations: bool = True) -> Collector | None:
    """Return who runs at most so many episodes of a plan at a time, if it runs in compiled code."""
    if not (is_rule(plan.policy) and is_compiled(plan, keep_observations=keep_observations)):
        return None
    return Collector(
        *(plan.config, plan.bank, plan.policy, plan.seed, episodes),
        observation=plan.observation,
        keep_observations=keep_observations,
    )


def run_block(plan: RolloutPlan, start: int, stop: int, *, keep_observations: bool = True) -> Rollout:
    """Run episodes start … stop - 1 of a plan, counted learner by learner."""
    learner, episode = _who(plan, start, stop)
    collector = new_collector(plan, stop - start, keep_observations=keep_observations)
    if collector is None:
        return run(
            *(plan.config, plan.bank, plan.policy, plan.seed, learner, episode),
            *(plan.observation, plan.num_threads, keep_observations),
        )
    threads = min(plan.num_threads, -(-len(learner) // collector.at_once))
    if threads == 1:
        collector.collect(learner, episode)
    else:
        collector.collect_in_threads(learner, episode, threads)
    return _rollout_of(plan, learner, episode, *collector.buffer.release())


def view_block(plan: RolloutPlan, collector: Collector, start: int, stop: int) -> Rollout:
    """Run episodes start … stop - 1 of a plan; what is returned is good until the collector's next block."""
    learner, episode = _who(plan, start, stop)
    collector.collect(learner, episode)
    return _rollout_of(plan, learner, episode, *collector.buffer.view())


def _who(plan: RolloutPlan, start: int, stop: int) -> tuple[Longs, Longs]:
    """Return the learner and the episode of each of a plan's episodes, counted learner by learner."""
    numbers = np.arange(start, stop)
    return plan.first_learner + numbers // plan.episodes_per_learner, numbers % plan.episodes_per_learner


def _rollout_of(
    plan: RolloutPlan, learner: Longs, episode: Longs, trajectories: Trajectories, summaries: EpisodeSummaries
) -> Rollout:
    """Return what happened in compiled code."""
    width = len(summaries.observation) // len(learner)
    return Rollout(
        config=plan.config,
        bank=plan.bank,
        observation=plan.observation,
        learner_id=learner,
        episode=episode,
        interactions=Interactions._make(
            [*(getattr(trajectories, name) for name in Interactions._fields[:-1]), summaries.length]
        ),
        obs=trajectories.observation.reshape(-1, width) if len(trajectories.observation) else None,
        final_obs=summaries.observation.reshape(-1, width),
        propensity=trajectories.propensity,
        reason=summaries.reason,
        ability_start=summaries.ability_start,
        ability_final=summaries.ability_final,
    )


def run(
    config: Config,
    bank: Bank,
    policy: Policy,
    seed: int,
    learner_id: Longs,
    episode: Longs,
    observation: Observation = "mastery",
    num_threads: int = 1,
    keep_observations: bool = True,
) -> Rollout:
    """Run the episodes (learner_id[i], episode[i]) side by side, each in a lane."""
    lanes = len(learner_id)
    simulator = Simulator(config, bank, lanes, observation=observation, record=True, num_threads=num_threads)
    people = simulator.population
    people.key[:], people.learner[:], people.episode[:] = seed, learner_id, episode
    simulator.begin(np.arange(lanes))
    record = _Record(simulator, observation, keep_observations)
    try:
        while record.active.any():
            draws = PolicyDraws(lambda block: simulator.words(Purpose.POLICY, block))
            record.take(*_checked(policy, record.view, simulator, policy.act(record.view, draws)))
    finally:
        simulator.close()
    return record.rollout(np.asarray(learner_id, np.int64), np.asarray(episode, np.int64))


class _Record:
    """What happens in each lane of a rollout, interaction by interaction, and what the policy may see of it."""

    def __init__(self, simulator: Simulator, observation: Observation, keep_observations: bool) -> None:
        lanes = simulator.lanes
        self.simulator = simulator
        self.active = np.ones(lanes, np.bool_)
        self.last_seconds = np.zeros(lanes, np.float32)
        self.view = View(
            observation=_read_only(simulator.observation),
            kind=observation,
            num_los=simulator.bank.num_los,
            active=_read_only(self.active),
            last_seconds=_read_only(self.last_seconds),
        )
        self.ability_start = simulator.population.ability.copy()
        self.ability_final = np.zeros(lanes, np.float32)
        self.final_obs = np.zeros_like(simulator.observation)
        self.reason, self.length = np.zeros(lanes, np.int8), np.zeros(lanes, np.int64)
        self.keep_observations = keep_observations
        self.observations: list[Floats] = []
        self.columns: list[tuple[NDArray[Any], ...]] = []

    def take(self, actions: Longs, propensities: Doubles) -> None:
        """Take every lane one interaction further, and note what happened."""
        simulator, view, happened = self.simulator, self.view, self.simulator.interaction
        if self.keep_observations:
            self.observations.append(view.observation.copy())
        out = simulator.step(actions, step_kernels.DISABLED)
        seconds, item, correct = happened.seconds.copy(), happened.item.copy(), happened.correct.copy()
        gain, frustration = happened.gain.copy(), happened.frustration.copy()
        mean_mastery = happened.mastery_sum / simulator.bank.num_los
        self.columns.append(
            (actions, out.reward.copy(), item, correct, gain, seconds, frustration, mean_mastery, propensities)
        )
        view.actions.append(_read_only(actions))
        view.items.append(_read_only(item))
        view.correct.append(_read_only(np.where(np.isnan(seconds), np.int8(-1), correct).astype(np.int8)))
        view.seconds.append(_read_only(seconds))
        np.copyto(self.last_seconds, seconds, where=~np.isnan(seconds))
        ended = self.active & (out.reason != 0)
        if ended.any():
            self.final_obs[ended] = view.observation[ended]
            self.ability_final[ended] = simulator.population.ability[ended]
            self.reason[ended], self.length[ended] = out.reason[ended], len(self.columns)
            self.active[ended] = False

    def rollout(self, learner_id: Longs, episode: Longs) -> Rollout:
        """Return what happened, episode by episode instead of interaction by interaction."""
        length = self.length
        lane = np.repeat(np.arange(len(length)), length)
        step = np.arange(len(lane)) - np.repeat(np.cumsum(length) - length, length)
        *happened, propensity = (np.stack(column)[step, lane] for column in zip(*self.columns, strict=True))
        kinds = (np.int32, np.float32, np.int32, np.bool_, np.float32, np.float32, np.float32, np.float64)
        return Rollout(
            config=self.simulator.config,
            bank=self.simulator.bank,
            observation=self.view.kind,
            learner_id=learner_id,
            episode=episode,
            interactions=Interactions._make([*(h.astype(k) for h, k in zip(happened, kinds, strict=True)), length]),
            obs=np.stack(self.observations)[step, lane] if self.keep_observations else None,
            final_obs=self.final_obs,
            propensity=propensity,
            reason=self.reason,
            ability_start=self.ability_start,
            ability_final=self.ability_final,
        )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of an array for a policy to look at."""
    view = array.view()
    view.flags.writeable = False
    return view


def _checked(policy: Policy, view: View, simulator: Simulator, choice: Any) -> tuple[Longs, Doubles]:
    """Return what a policy chose, checked; for lanes whose episode is over, an action that exists."""
    who = f"the policy {policy.name!r}"
    if not isinstance(choice, tuple) or len(choice) != 2:
        raise InputTypeError(f"{who} returns a pair, actions and their probabilities; got {type(choice).__name__}")
    chosen, odds = np.asarray(choice[0]), np.asarray(choice[1])
    if chosen.shape != (view.num_lanes,) or chosen.dtype.kind not in "iu":
        raise AlsimError(f"{who} returns {view.num_lanes} integer actions; got {chosen.dtype} of shape {chosen.shape}")
    if odds.shape != (view.num_lanes,) or odds.dtype.kind != "f":
        raise AlsimError(f"{who} returns {view.num_lanes} probabilities; got {odds.dtype} of shape {odds.shape}")
    given, chosen = chosen, np.where(view.active, chosen, 0).astype(np.int64)
    lane = simulator.first_invalid(chosen, ignore_finished=True)
    if lane >= 0:
        raise AlsimError(f"{who} chose action {given[lane]} in lane {lane}; actions are in [0, {view.num_actions})")
    wrong = view.active & ~((odds > 0) & (odds <= 1))
    if wrong.any():
        lane = int(np.argmax(wrong))
        raise AlsimError(f"{who} gave its action in lane {lane} the probability {odds[lane]}; it is in (0, 1]")
    return chosen, odds.astype(np.float64)


def _joined(parts: Sequence[Rollout]) -> Rollout:
    """Join rollouts of the same rules, in order."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]

    def join(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    return Rollout(
        config=first.config,
        bank=first.bank,
        observation=first.observation,
        interactions=Interactions(
            *(np.concatenate(columns) for columns in zip(*(part.interactions for part in parts), strict=True))
        ),
        obs=None if first.obs is None else join("obs"),
        **{
            name: join(name)
            for name in ("learner_id", "episode", "final_obs", "propensity", "reason", "ability_start", "ability_final")
        },
    )
