"""Importance weights: the log of every stochastic policy gives the simulator's true value of `uniform`."""

import numpy as np
import pytest

import alsim
from alsim.policies import POLICIES
from alsim.policies.listing import list_policies

N, TRUTH = 20_000, 200_000
ACTIONS = 27
BEHAVIOURS = [
    *("epsilon-greedy:rules:0.2", "mix:rules=0.7,uniform=0.3", "uniform"),
    *("zpd", "zpdes", "cat"),
    *("leitner", "sm2", "fsrs", "threshold", "random-due"),
    *("thompson", "lints", "ucb1", "linucb", "softmax", "igw", "exp3"),
    *("thompson:0.1:0.05:true", "linucb:1.0:0.05:true", "exp3:0.1:0.05:true"),
    *("epsilon-greedy:thompson:0.1", "mix:cat=0.5,linucb=0.5"),
]
WITHOUT_SUPPORT = {"rules", "engine"}
"""Stochastic, without a floor: their probabilities are 0 for most actions."""


def settings(steps):
    return {"num_los": 3, "max_episode_steps": steps}


@pytest.fixture(scope="module")
def truth():
    return {
        steps: alsim.rollout("uniform", num_learners=TRUTH, seed=5, config=settings(steps)).metrics.cumulative_reward
        for steps in (1, 2)
    }


def test_every_stochastic_policy_is_tested():
    stochastic = {name for name, facts in list_policies().items() if facts["stochastic"] is not False}
    assert stochastic <= set(POLICIES)
    assert stochastic - {name.partition(":")[0] for name in BEHAVIOURS} == WITHOUT_SUPPORT


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_log_covers_the_true_value_of_uniform(behaviour, steps, truth):
    """n = 20,000 learners of the log (seed 1) and 200,000 of the truth (seed 5); false alarm 1e-6 for each mean."""
    log = alsim.rollout(behaviour, num_learners=N, config=settings(steps), seed=1)
    weights = np.ones(N)
    np.multiply.at(weights, log.interactions.episode, 1 / ACTIONS / log.propensity)
    terms = weights * log.metrics.cumulative_reward
    true = truth[steps]
    assert weights.max() <= (1 / 0.05) ** steps * (1 + 1e-9)
    assert abs(weights.mean() - 1) < 4.9 * weights.std() / N**0.5 + 1e-12
    assert abs(terms.mean() - true.mean()) < 4.9 * (terms.var() / N + true.var() / TRUTH) ** 0.5
