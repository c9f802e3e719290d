"""Compilation of all functions before their first use."""

from __future__ import annotations

import numpy as np

from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.envs import AdaptiveLearningVectorEnv
from alsim.policies import POLICIES, RulePolicy
from alsim.rollouts.rollout import rollout
from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import MIN_LANES_PER_THREAD, Simulator
from alsim.types import OBSERVATIONS, Purpose


def warmup(*, rollouts: bool = False) -> None:
    """Compile all functions that environments call, or load them from the cache. Later calls then start at once.

    rollouts  also compile those that `alsim.rollout` and `alsim.generate_dataset` call, for each RulePolicy
    """
    config = Config()
    bank = sample_bank(config)
    for observation in OBSERVATIONS:
        for lanes, threads in ((1, 1), (2 * MIN_LANES_PER_THREAD, 2)):
            simulator = Simulator(config, bank, lanes, observation=observation, num_threads=threads)
            simulator.begin(np.arange(lanes))
            simulator.step(np.zeros(lanes, np.int64), step_kernels.DISABLED)
            simulator.words(Purpose.POLICY, 0)
            simulator.close()
        envs = AdaptiveLearningVectorEnv(2, config=config, bank=bank, observation=observation)
        envs.reset(seed=0)
        out = envs.new_buffers(1)
        for rewards in (out.rewards, out.rewards.astype(np.float32)):
            envs.step_lanes(np.zeros(1, np.int64), np.ones(1, np.int64), out=out._replace(rewards=rewards))
    if rollouts:
        for name, make in POLICIES.items():
            if isinstance(make, type) and issubclass(make, RulePolicy):
                result = rollout(name, num_learners=1, config=config, bank=bank)
                _ = result.metrics, result.events
