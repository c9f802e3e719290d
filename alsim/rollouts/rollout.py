"""Rollouts: complete episodes of a policy with simulated learners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import of_parameters
from alsim.errors import AlsimError
from alsim.metrics import EpisodeMetrics, Events, Interactions, episode_metrics, events
from alsim.policies import Policy
from alsim.policies.rounds import FixedState
from alsim.rollouts import frames
from alsim.rollouts.collector import Collector, is_compiled
from alsim.rollouts.columns import TABLE_COLUMNS, Column
from alsim.rollouts.driver import run_in_python
from alsim.rollouts.kernels import EpisodeSummaries, Trajectories
from alsim.rollouts.plan import RolloutPlan, block_edges, block_episodes, read_plan
from alsim.rollouts.rounds import after_round, before_rounds, learns_across_learners, round_edges
from alsim.types import Bools, Codes, Doubles, Floats, Ints, Longs, Observation, Reason, describe, safe_repr

if TYPE_CHECKING:
    import pandas
    import polars

Columns = TypeVar("Columns", Trajectories, EpisodeSummaries)


@dataclass(frozen=True)
class Rollout:
    """Results of a rollout: M interactions of E episodes, ordered by learner and episode."""

    config: Config
    bank: Bank
    observation: Observation
    learner_id: Longs
    """(E,) index of the learner of each episode."""
    episode: Longs
    """(E,) number of the episode of its learner, from 0."""
    interactions: Interactions
    obs: Floats | None
    """(M, R) float32, before each interaction; None if observations were not kept."""
    final_obs: Floats
    """(E, R) float32, after the last interaction of each episode."""
    propensity: Doubles
    """(M,) probability with which the policy chose each action."""
    reason: Codes
    """(E,) Reason for the end of each episode."""
    ability_start: Floats
    """(E,) ability at the start, logits; latent, for comparing estimates with the true value."""
    ability_final: Floats
    """(E,) ability at the end, logits; latent."""
    policy: str = ""
    """Name of the policy."""
    population_row: Ints | None = None
    """(E,) row of the population of the learner of each episode; None stands for 0 (clause S12.1)."""
    policy_state: Any = None
    """State of a policy that learns across learners, after the last round; None for any other policy."""
    retention: Doubles | None = None
    """(E,) delayed retention (clause S13.3); None: the final mastery, as under dynamics without forgetting."""

    @safe_repr
    def __repr__(self) -> str:
        """Return the policy, and the numbers of learners, episodes and interactions."""
        learners, episodes = len(np.unique(self.learner_id)), len(self.learner_id)
        observations = "no observations" if self.obs is None else f"obs {describe(self.obs)}"
        return (
            f"Rollout(policy={describe(self.policy)}, {learners:,} learners, {episodes:,} episodes, "
            f"{len(self.propensity):,} interactions, {observations})"
        )

    @cached_property
    def metrics(self) -> EpisodeMetrics:
        """Metrics of every episode (clauses S9.1 to S9.6)."""
        return episode_metrics(self.interactions, self.bank, self.config, self.retention)

    @cached_property
    def events(self) -> Events:
        """Events of every interaction (clause S10.1)."""
        return events(self.interactions, self.bank, self.config)

    @cached_property
    def termination_reason(self) -> Codes:
        """(M,) Reason for the end of the episode; NONE except in its last interaction."""
        reasons = np.zeros(len(self.propensity), np.int8)
        reasons[self.interactions.last] = self.reason
        return reasons

    @property
    def truncated(self) -> Bools:
        """(M,) True for the last interaction of an episode that reached the step limit."""
        return np.asarray(self.termination_reason == Reason.STEP_LIMIT)

    @property
    def terminated(self) -> Bools:
        """(M,) True for the last interaction of an episode that ended for another reason."""
        return np.asarray((self.termination_reason != Reason.NONE) & ~self.truncated)

    def to_pandas(self, table: str = "transitions", *, observations: bool = False) -> pandas.DataFrame:
        """Return a table as a DataFrame of pandas, with the columns of `Dataset.to_pandas`.

        table         "transitions", "events" or "episodes"
        observations  whether to add the observations as columns

        While the frame is built, the memory has to hold about 1.8 times its size, in addition to the rollout.

        Raises ValueError for another table, or if observations were not kept, and MissingExtra if pandas is not
        installed.
        """
        return frames.to_pandas([self._frame_columns(table, observations)])

    def to_polars(self, table: str = "transitions", *, observations: bool = False) -> polars.DataFrame:
        """Return the same as `to_pandas` as a DataFrame of Polars, in which words have the type Enum.

        While it is built, the memory has to hold about 1.1 times its size, in addition to the rollout.

        Raises ValueError for another table, or if observations were not kept, and MissingExtra if Polars is not
        installed.
        """
        return frames.to_polars([self._frame_columns(table, observations)])

    def _frame_columns(self, table: str, observations: bool) -> dict[str, Column]:
        """Return the columns of a data frame."""
        frames.check_table(table, observations)
        rows = None
        if observations:
            rows = self.obs if table == "transitions" else self.final_obs
            if rows is None:
                raise AlsimError("this rollout has no observations; call rollout with keep_observations=True")
        return frames.frame_columns(table, TABLE_COLUMNS[table](self), self.bank, rows, self.observation)


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
    action_mask: Any = None,
) -> Rollout:
    """Run complete episodes of a policy with simulated learners, and return their interactions.

    policy                name of a registered policy, directory of a trained one, or a policy object
    num_learners          number of learners: first_learner, first_learner + 1, … of the seed
    episodes_per_learner  number of episodes; each draws the initial state of the learner again (clause S1.6)
    first_learner         index of the first learner; 2**31 and above are reserved for evaluation (clause S11.4)
    config, bank, dynamics, observation  see `alsim.AdaptiveLearningVectorEnv`
    num_threads           number of threads. A compiled policy runs different episodes in each thread, with 2 to 25 MB
                          per thread; for other policies, the threads share each step
    keep_observations     whether to keep `obs`, which takes most of the memory
    action_mask           allowed actions: a bool array (A,) or (num_learners, A), a function of the view, "curriculum",
                          or a Curriculum, see the page "Masking actions" of the documentation; None: all actions. With
                          a mask, compiled policies run in Python

    Returns a Rollout; the same arguments give the same result, bit for bit. Raises ValueError or TypeError for
    invalid arguments, and for invalid actions or probabilities of the policy.
    """
    plan = read_plan(
        policy,
        num_learners=num_learners,
        episodes_per_learner=episodes_per_learner,
        seed=seed,
        first_learner=first_learner,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        num_threads=num_threads,
        keep_observations=keep_observations,
        action_mask=action_mask,
    )
    if learns_across_learners(plan):
        return _run_rounds(plan)
    blocks = [(0, plan.num_episodes)] if is_compiled(plan) else block_edges(plan)
    trajectories, summaries = zip(*(_collect(plan, start, stop) for start, stop in blocks), strict=True)
    return _assemble(plan, 0, plan.num_episodes, _concatenate(trajectories), _concatenate(summaries))


def _run_rounds(plan: RolloutPlan) -> Rollout:
    """Run all episodes of a policy that learns across learners, round by round."""
    parts, fixed = [], before_rounds(plan)
    for start, stop in round_edges(plan):
        trajectories, summaries, run = run_round(plan, fixed, start, stop)
        fixed = after_round(fixed, run)
        parts.append((trajectories, summaries))
    done = (_concatenate(column) for column in zip(*parts, strict=True))
    return replace(_assemble(plan, 0, plan.num_episodes, *done), policy_state=fixed.state)


def run_round(
    plan: RolloutPlan, fixed: FixedState, start: int, stop: int
) -> tuple[Trajectories, EpisodeSummaries, Rollout]:
    """Run episodes start … stop - 1 of a round; return the columns that the plan keeps, and all as a Rollout.

    fixed  policy of the plan, with its state in the round
    """
    kept, size = plan._replace(policy=fixed, keep_observations=True), block_episodes(plan.config)
    edges = [(first, min(first + size, stop)) for first in range(start, stop, size)]
    parts = zip(*(_collect(kept, *edge) for edge in edges), strict=True)
    trajectories, summaries = (_concatenate(part) for part in parts)
    run = _assemble(kept, start, stop, trajectories, summaries)
    if not plan.keep_observations:
        trajectories = trajectories._replace(observation=np.empty(0, np.float32))
    return trajectories, summaries, run


def run_parts(plan: RolloutPlan, episodes: int) -> Iterator[Rollout]:
    """Run all episodes of a plan, in order, and yield them in parts that are valid until the next one.

    episodes  episodes per part; the results do not depend on it. The parts of a policy that learns across learners are
              its rounds.
    """
    if learns_across_learners(plan):
        fixed = before_rounds(plan)
        for start, stop in round_edges(plan):
            *_, run = run_round(plan, fixed, start, stop)
            yield run
            fixed = after_round(fixed, run)
        return
    collector = new_collector(plan, min(episodes, plan.num_episodes))
    for start, stop in block_edges(plan, episodes):
        yield run_block(plan, start, stop) if collector is None else view_block(plan, collector, start, stop)


def new_collector(plan: RolloutPlan, capacity: int) -> Collector | None:
    """Return a collector for at most `capacity` episodes, or None if the plan does not run in compiled code."""
    return Collector(plan, capacity) if is_compiled(plan) else None


def run_block(plan: RolloutPlan, start: int, stop: int) -> Rollout:
    """Run episodes start … stop - 1 of a plan, ordered by learner."""
    return _assemble(plan, start, stop, *_collect(plan, start, stop))


def view_block(plan: RolloutPlan, collector: Collector, start: int, stop: int) -> Rollout:
    """Run episodes start … stop - 1 of a plan; the result is valid until the next block of the collector."""
    _run(collector, plan, *plan.episodes(start, stop))
    return _assemble(plan, start, stop, *collector.buffer.view())


def _collect(plan: RolloutPlan, start: int, stop: int) -> tuple[Trajectories, EpisodeSummaries]:
    """Run episodes start … stop - 1 of a plan, compiled if the policy is."""
    learner, episode = plan.episodes(start, stop)
    collector = new_collector(plan, stop - start)
    if collector is None:
        return run_in_python(plan, learner, episode)
    _run(collector, plan, learner, episode)
    return collector.buffer.release()


def _run(collector: Collector, plan: RolloutPlan, learner: Longs, episode: Longs) -> None:
    """Run episode[e] of learner[e] for all e, (E,) each, in the threads of a plan."""
    threads = min(plan.num_threads, -(-len(learner) // collector.part))
    if threads == 1:
        collector.collect(learner, episode)
    else:
        collector.collect_in_threads(learner, episode, threads)


def _assemble(
    plan: RolloutPlan, start: int, stop: int, trajectories: Trajectories, summaries: EpisodeSummaries
) -> Rollout:
    """Return the Rollout of episodes start … stop - 1 of a plan."""
    learner, episode = plan.episodes(start, stop)
    columns = (getattr(trajectories, name) for name in Interactions._fields[:-1])
    return Rollout(
        config=plan.config,
        bank=plan.bank,
        observation=plan.observation,
        learner_id=learner,
        episode=episode,
        interactions=Interactions._make([*columns, summaries.length]),
        obs=trajectories.observation.reshape(-1, plan.width) if plan.keep_observations else None,
        final_obs=summaries.observation.reshape(-1, plan.width),
        propensity=trajectories.propensity,
        reason=summaries.reason,
        ability_start=summaries.ability_start,
        ability_final=summaries.ability_final,
        policy=plan.policy.name,
        population_row=plan.config.population_rows_of(plan.seed, learner),
        retention=None if of_parameters(type(plan.config.dynamics)).observe is None else summaries.retention,
    )


def _concatenate(parts: Sequence[Columns]) -> Columns:
    """Return the columns of consecutive parts, joined."""
    if len(parts) == 1:
        return parts[0]
    return type(parts[0])(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
