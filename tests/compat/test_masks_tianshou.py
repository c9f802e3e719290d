"""Tianshou's collectors and policies on the adapter with masks, which refuses masked actions."""

from typing import Any

import masks as examples
import numpy as np
import torch
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.data import Collector, VectorReplayBuffer
from torch import nn

from alsim.envs.tianshou import AdaptiveLearningTianshouEnv

A, R = 36, 6
CONFIG = {"num_los": 4, "max_episode_steps": 14, "curriculum": examples.EDGES}


class Net(nn.Module):
    """Q values of the part `obs` of an observation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(R, A)

    def forward(self, obs: Any, state: Any = None, info: Any = None) -> Any:
        rows = torch.as_tensor(np.asarray(obs.obs if hasattr(obs, "obs") else obs), dtype=torch.float32)
        return self.layer(rows), state


def test_a_collector_takes_only_allowed_actions() -> None:
    torch.manual_seed(0)
    env = AdaptiveLearningTianshouEnv(5, config=CONFIG, action_mask="curriculum:0.35")
    for epsilon in (0.0, 0.5, 1.0):
        policy = DiscreteQLearningPolicy(
            model=Net(), action_space=env.action_space, eps_training=epsilon, eps_inference=epsilon
        )
        buffer = VectorReplayBuffer(1000, 5)
        collector: Any = Collector(policy, env, buffer, exploration_noise=True)
        collector.collect(n_step=200, reset_before_collect=True)
        masks, actions = np.asarray(buffer.obs.mask[: len(buffer)]), np.asarray(buffer.act[: len(buffer)])
        batch, _ = buffer.sample(0)
        masks, actions = np.asarray(batch.obs.mask), np.asarray(batch.act)
        assert len(actions) >= 200 and masks.shape == (len(actions), A)
        assert masks[np.arange(len(actions)), actions].all() and not masks.all()
