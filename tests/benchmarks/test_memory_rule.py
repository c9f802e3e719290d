"""The benchmark's policy with memory does what it says."""

import numpy as np
import pytest

import alsim
from benchmarks.memory_rule import LeastAsked


@pytest.mark.ci
def test_outcomes_take_turns():
    run = alsim.rollout(LeastAsked(), num_learners=3, seed=0)
    x = run.interactions
    for lane in range(3):
        actions = x.action[x.episode == lane]
        assert np.array_equal(actions, np.arange(len(actions)) % 30 * 3)
