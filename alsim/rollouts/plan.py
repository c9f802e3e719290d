"""Plan of a rollout: its validated arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alsim.arguments import read_learner, read_observation, read_positive, read_rules, read_seed
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.mdp.observation import observation_width
from alsim.policies import Policy, make_policy
from alsim.policies.action_masks import ActionMask, MaskRules, read_action_mask
from alsim.policies.masks import check_maskable
from alsim.types import MAX_LEARNERS, Longs, Observation

BLOCK_EPISODES, BLOCK_STEPS = 4096, 140
"""Episodes per shard, for step limits up to BLOCK_STEPS; policies in Python run them together, in bounded memory."""


class RolloutPlan(NamedTuple):
    """Everything that the episodes of a rollout depend on."""

    config: Config
    bank: Bank
    policy: Policy
    observation: Observation
    keep_observations: bool
    seed: int
    first_learner: int
    num_learners: int
    episodes_per_learner: int
    num_threads: int
    action_mask: ActionMask | None = None
    learners: Longs | None = None
    """Indices of the learners, (num_learners,) ascending; None: first_learner, first_learner + 1, …"""

    @property
    def num_episodes(self) -> int:
        """Number of episodes of all learners."""
        return self.num_learners * self.episodes_per_learner

    @property
    def width(self) -> int:
        """Entries R of an observation."""
        return observation_width(self.bank.num_los, self.observation)

    def episodes(self, start: int, stop: int) -> tuple[Longs, Longs]:
        """Return the learner and the episode number of episodes start … stop - 1 of the plan, ordered by learner."""
        numbers = np.arange(start, stop)
        place, episode = numbers // self.episodes_per_learner, numbers % self.episodes_per_learner
        return self.first_learner + place if self.learners is None else self.learners[place], episode

    def places(self, learner: Longs) -> Longs:
        """Return the place of each learner (n,) among the learners of the plan, from 0."""
        return learner - self.first_learner if self.learners is None else np.searchsorted(self.learners, learner)


def read_plan(
    policy: str | Path | Policy,
    *,
    num_learners: int,
    episodes_per_learner: int,
    seed: int,
    first_learner: int = 0,
    config: Config | Mapping[str, Any] | str | Path | None,
    bank: Bank | Mapping[str, Any] | str | Path | None,
    dynamics: Any,
    observation: str,
    num_threads: int,
    keep_observations: bool,
    action_mask: Any = None,
) -> RolloutPlan:
    """Return the validated arguments of `rollout`. Raises AlsimError."""
    rules, items = read_rules(config, bank, dynamics)
    plan = RolloutPlan(
        config=rules,
        bank=items,
        policy=make_policy(policy),
        observation=read_observation(observation),
        keep_observations=keep_observations,
        seed=read_seed(seed),
        first_learner=read_learner(first_learner, "first_learner"),
        num_learners=read_positive(num_learners, "num_learners"),
        episodes_per_learner=read_positive(episodes_per_learner, "episodes_per_learner"),
        num_threads=read_positive(num_threads, "num_threads"),
    )
    if plan.first_learner > MAX_LEARNERS - plan.num_learners:
        raise AlsimError(
            f"first_learner + num_learners must be at most 2**32; got first_learner = {plan.first_learner} and "
            f"num_learners = {plan.num_learners}"
        )
    if action_mask is None:
        return plan
    check_maskable(plan.policy)
    return plan._replace(action_mask=read_action_mask(action_mask, mask_rules(plan)))


def mask_rules(plan: RolloutPlan) -> MaskRules:
    """Return the properties of a rollout that its action mask depends on."""
    return MaskRules(
        outcomes=plan.bank.outcomes,
        curriculum=plan.config.curriculum,
        mastered=plan.config.termination.mastery_threshold,
        kind=plan.observation,
        rows=plan.num_learners,
        unit="learner",
    )


def block_episodes(config: Config) -> int:
    """Return the number of episodes of a shard under `config`: fewer for longer episodes, so that memory is bounded."""
    return max(1, BLOCK_EPISODES * BLOCK_STEPS // max(BLOCK_STEPS, config.max_episode_steps))


def block_edges(plan: RolloutPlan, episodes: int | None = None) -> list[tuple[int, int]]:
    """Return the first episode of each block of a plan, and the episode after its last.

    episodes  episodes per block; by default, `block_episodes`
    """
    total, block = plan.num_episodes, episodes or block_episodes(plan.config)
    return [(start, min(start + block, total)) for start in range(0, total, block)]
