"""Evaluation on held-out learners: means with their standard errors and intervals."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.bank import Bank
from alsim.config import REWARD_PRESETS, Config
from alsim.policies import Policy
from alsim.rollouts import rollout
from alsim.simulator import Observation
from alsim.types import FIRST_HELD_OUT, Reason

EVALUATION_SEED = 0
"""Whatever the training's seed, so that all trainings are judged on the same learners."""
CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


class HeldOut(NamedTuple):
    """Held-out learners of EVALUATION_SEED that meet a policy, one episode each."""

    first: int
    num_learners: int


FINAL = HeldOut(FIRST_HELD_OUT, 1000)
"""Whom the finished policy is judged on."""
SELECTION = HeldOut(FIRST_HELD_OUT + 2**30, 500)
"""Whom checkpoints are compared on: others, or the best of many would look better than it is."""

Statistic = dict[str, Any]
"""mean, se, ci [low, high], n."""


def statistic(values: NDArray[Any]) -> Statistic:
    """Return mean, standard error, normal 95 % interval and n of independent values (n,), n >= 2."""
    mean, se = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "se": se, "ci": [mean - Z * se, mean + Z * se], "n": len(values)}


def share(flags: NDArray[np.bool_]) -> Statistic:
    """Return the same of a share, with Wilson's interval, which keeps its meaning at 0 and 1.

    Source: Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    n, mean = len(flags), float(flags.mean())
    middle, half = mean + Z**2 / (2 * n), Z * np.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    ci = [max(0.0, float((middle - half) / (1 + Z**2 / n))), min(1.0, float((middle + half) / (1 + Z**2 / n)))]
    return {"mean": mean, "se": float(np.sqrt(mean * (1 - mean) / n)), "ci": ci, "n": n}


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
        "return": statistic(taught.metrics.cumulative_reward),
        "episode_length": statistic(taught.metrics.total_steps),
        "final_mastery": statistic(taught.metrics.final_mastery),
        "give_ups": share(taught.reason == Reason.CRITICAL_FRUSTRATION),
    }


def under_specified_reward(config: Config) -> Config:
    """Return the same rules with the specification's reward."""
    return config.model_copy(update={"reward_weights": REWARD_PRESETS["specified"]})


def is_specified(config: Config) -> bool:
    """Whether the reward is the specification's."""
    return config.reward_weights == REWARD_PRESETS["specified"]
