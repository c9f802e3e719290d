"""Evaluation of policies on held-out learners: means with standard errors and confidence intervals."""

from __future__ import annotations

from typing import NamedTuple

from alsim.bank.items import Bank
from alsim.config import REWARD_PRESETS, Config, independent_unit
from alsim.evaluation.estimates import StatisticJSON, estimate
from alsim.evaluation.statistics import share
from alsim.policies import Policy
from alsim.rollouts.rollout import rollout
from alsim.types import FIRST_HELD_OUT, Observation, Reason

EVALUATION_SEED = 0
"""Seed of all evaluations, independent of the seed of the training, so that trainings are comparable."""

EVALUATED = ("cumulative_reward", "total_steps", "final_mastery")
"""Metrics of `alsim.metrics.METRICS` whose means an evaluation includes."""


class HeldOut(NamedTuple):
    """Range of held-out learners of EVALUATION_SEED, one episode each."""

    first: int
    num_learners: int


FINAL = HeldOut(FIRST_HELD_OUT, 1000)
"""Learners for the evaluation of finished policies."""
SELECTION = HeldOut(FIRST_HELD_OUT + 2**30, 500)
"""Learners for the selection of the best checkpoint. They are not those of FINAL, because selection biases results."""


def evaluate(
    policy: str | Policy,
    learners: HeldOut,
    config: Config,
    bank: Bank,
    *,
    observation: Observation,
    num_threads: int = 1,
) -> dict[str, StatisticJSON]:
    """Evaluate a policy on held-out learners, in one episode of each.

    policy       name of a registered policy, or a policy object
    learners     range of learners
    observation  "mastery" or "responses"
    num_threads  number of threads; results do not depend on it

    Returns a statistic as JSON for each of EVALUATED, and for `give_ups`, the share of episodes that ended by critical
    frustration. The independent unit is the learner, who has one episode; under effects of classes, the class (S12.2).
    """
    run = rollout(
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
    values = {name: getattr(run.metrics, name) for name in EVALUATED}
    unit = independent_unit(config.to_dict())
    # Each learner has one episode, so that only classes are larger units.
    units = unit.of_learners(run.learner_id) if unit.name == "class" else None
    found = {name: estimate(own, units) for name, own in values.items()}
    found["give_ups"] = share(run.reason == Reason.CRITICAL_FRUSTRATION, units)
    return {name: statistic.to_dict() for name, statistic in found.items()}


def under_specified_reward(config: Config) -> Config:
    """Return a copy of a configuration with the reward weights of the specification."""
    return config.model_copy(update={"reward_weights": REWARD_PRESETS["specified"]})


def is_specified(config: Config) -> bool:
    """Return whether a configuration has the reward weights of the specification."""
    return config.reward_weights == REWARD_PRESETS["specified"]
