"""Evaluation on held-out learners: means with their standard errors and intervals."""

from __future__ import annotations

from typing import NamedTuple

from alsim.bank.items import Bank
from alsim.config import REWARD_PRESETS, Config
from alsim.evaluation.statistics import Statistic, share, statistic
from alsim.policies import Policy
from alsim.rollouts.rollout import rollout
from alsim.types import FIRST_HELD_OUT, Observation, Reason

EVALUATION_SEED = 0
"""Whatever the training's seed, so that all trainings are judged on the same learners."""


class HeldOut(NamedTuple):
    """Held-out learners of EVALUATION_SEED that meet a policy, one episode each."""

    first: int
    num_learners: int


FINAL = HeldOut(FIRST_HELD_OUT, 1000)
"""Whom the finished policy is judged on."""
SELECTION = HeldOut(FIRST_HELD_OUT + 2**30, 500)
"""Whom checkpoints are compared on: others, or the best of many would look better than it is."""


def evaluate(
    policy: str | Policy,
    learners: HeldOut,
    config: Config,
    bank: Bank,
    *,
    observation: Observation,
    num_threads: int = 1,
) -> dict[str, Statistic]:
    """Return return, episode length, final mastery and share of give-ups of a policy on held-out learners."""
    taught = rollout(
        policy,
        num_learners=learners.num_learners,
        first_learner=learners.first,
        seed=EVALUATION_SEED,
        config=config,
        bank=bank,
        observation=observation,
        num_threads=num_threads,
        keep_observations=False,
    )
    return {
        "cumulative_reward": statistic(taught.metrics.cumulative_reward),
        "total_steps": statistic(taught.metrics.total_steps),
        "final_mastery": statistic(taught.metrics.final_mastery),
        "give_ups": share(taught.reason == Reason.CRITICAL_FRUSTRATION),
    }


def under_specified_reward(config: Config) -> Config:
    """Return the same rules with the specification's reward."""
    return config.model_copy(update={"reward_weights": REWARD_PRESETS["specified"]})


def is_specified(config: Config) -> bool:
    """Whether the reward is the specification's."""
    return config.reward_weights == REWARD_PRESETS["specified"]
