"""Rollouts of policies that learn across learners: rounds of learners, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alsim.bank.course import course_of
from alsim.metrics import clocks_after
from alsim.policies.base import Transitions
from alsim.policies.binding import bound
from alsim.policies.exceptions import naming
from alsim.policies.rounds import FixedState, first_state, next_state, round_size_of, transitions_of_rows
from alsim.rollouts.plan import RolloutPlan

if TYPE_CHECKING:
    from alsim.rollouts.rollout import Rollout


def learns_across_learners(plan: RolloutPlan) -> bool:
    """Return whether the policy of a plan learns across learners."""
    return round_size_of(plan.policy) is not None


def round_edges(plan: RolloutPlan) -> list[tuple[int, int]]:
    """Return the range of episodes of each round, as pairs (start, stop)."""
    size = (round_size_of(plan.policy) or plan.num_learners) * plan.episodes_per_learner
    return [(start, min(start + size, plan.num_episodes)) for start in range(0, plan.num_episodes, size)]


def before_rounds(plan: RolloutPlan) -> FixedState:
    """Return the policy of a plan as it is in the first round, with its knowledge of the course."""
    with naming(plan.policy):
        return first_state(bound(plan.policy, course_of(plan.bank, plan.config)))


def after_round(fixed: FixedState, run: Rollout) -> FixedState:
    """Return the policy in the next round, after it has learned from a round, whose observations must be kept."""
    with naming(fixed.policy):
        return next_state(fixed, transitions_of(run))


def transitions_of(run: Rollout) -> Transitions:
    """Return the interactions of a rollout with observations, ordered by learner, episode and step."""
    x = run.interactions
    assert run.obs is not None
    return transitions_of_rows(
        observation=run.obs,
        final=run.final_obs,
        length=x.length,
        kind=run.observation,
        num_los=run.bank.num_los,
        actions=x.action,
        propensities=run.propensity,
        items=x.item,
        correct=x.correct.astype(np.int8),
        seconds=x.response_time,
        rewards=x.reward,
        clock=clocks_after(x.item, x.response_time, x.length, run.bank, run.config),
    )


__all__ = [
    "after_round",
    "before_rounds",
    "learns_across_learners",
    "round_edges",
    "transitions_of",
]
