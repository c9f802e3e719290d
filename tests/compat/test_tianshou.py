"""Tianshou's collector with the vector environment: `nox -s compat-tianshou`."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from tianshou.algorithm import DQN
from tianshou.algorithm.algorithm_base import Policy
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Batch, Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

from alsim import AdaptiveLearningVectorEnv
from alsim.envs.tianshou import AdaptiveLearningTianshouEnv

SHORT = {"num_los": 4, "max_episode_steps": 14, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.5}}
A, R, LANES = 36, 6, 5
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def train_dqn(envs: Any, evaluated: Any) -> Any:
    """Return the result of a short training with a DQN, in the steps of Tianshou's README."""
    space, actions = evaluated.observation_space[0], evaluated.action_space[0]
    net = Net(state_shape=space.shape, action_shape=actions.n, hidden_sizes=[32])
    policy = DiscreteQLearningPolicy(model=net, action_space=actions, eps_training=0.1, eps_inference=0.05)
    algorithm: Any = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), target_update_freq=100)
    return algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=Collector(algorithm, envs, VectorReplayBuffer(2000, 4), exploration_noise=True),
            test_collector=Collector(algorithm, evaluated),
            max_epochs=1,
            epoch_num_steps=200,
            collection_step_num_env_steps=40,
            test_step_num_episodes=4,
            batch_size=32,
            verbose=False,
            show_progress=False,
        )
    )


def test_first_example(first_example: Any) -> None:
    first_example.check_version()
    envs, evaluated = (first_example.run(globals())["envs"] for _ in range(2))
    result = train_dqn(envs, evaluated)
    assert np.isfinite(result.best_reward)


def test_other_infos_are_an_error_of_tianshou() -> None:
    """Tianshou stores infos, and rejects None and NaN in them: `termination_reason` is None within an episode.

    If this fails, Tianshou has begun to accept them: remove the note from docs/integrations.md.
    """
    from tianshou.data.buffer.buffer_base import MalformedBufferError

    for info in ("full", "flat"):
        envs, evaluated = (
            DummyVectorEnv([lambda info=info: gym.make("alsim:alsim/AdaptiveLearning-v0", info=info)] * 4)
            for _ in range(2)
        )
        with pytest.raises(MalformedBufferError, match="Encountered NaNs in buffer"):
            train_dqn(envs, evaluated)


class Uniform(Policy):
    """A policy with uniform actions, which records the sizes of its batches."""

    def __init__(self, env: Any) -> None:
        super().__init__(action_space=env.action_space, observation_space=env.observation_space)
        self.generator = np.random.default_rng(0)
        self.batches: list[int] = []

    def forward(self, batch: Any, state: Any = None, **kwargs: Any) -> Any:
        self.batches.append(len(batch.obs))
        return Batch(act=self.generator.integers(A, size=len(batch.obs)))


def collect(**amount: Any) -> tuple[Any, Any, list[int]]:
    """Return the statistics and the buffer of a collector, and the number of lanes of each of its steps."""
    env = AdaptiveLearningTianshouEnv(LANES, config=SHORT)
    policy, buffer = Uniform(env), VectorReplayBuffer(4000 * LANES, LANES)
    collector: Any = Collector(policy, env, buffer)
    env.seed(3)
    collector.reset_env()
    return collector.collect(**amount), buffer, policy.batches


def episodes_of(lane_buffer: Any) -> list[Any]:
    """Return the rows of each complete episode in the buffer of one lane, in order."""
    rows = lane_buffer[: len(lane_buffer)]
    ends = np.flatnonzero(rows.done)
    starts = np.r_[0, ends + 1]
    return [rows[start : end + 1] for start, end in zip(starts, ends, strict=False)]


@pytest.mark.parametrize("amount", [{"n_step": 60 * LANES}, {"n_episode": 23}], ids=["steps", "episodes"])
def test_episodes_equal_those_of_the_vector_environment(amount: dict[str, int]) -> None:
    """Every row of the buffer equals the step of the lane's learner under the same actions."""
    stats, buffer, batches = collect(**amount)
    returns: list[float] = []
    for lane, rows in enumerate(buffer.buffers):
        plain: Any = AdaptiveLearningVectorEnv(1, config=SHORT, autoreset_mode="Disabled")
        observation, _ = plain.reset(seed=3, options={"learner": lane})
        for episode in episodes_of(rows):
            total = 0.0
            for row in episode:
                np.testing.assert_array_equal(row.obs, observation[0])
                observation, reward, terminated, truncated, _ = plain.step([int(row.act)])
                np.testing.assert_array_equal(row.obs_next, observation[0])
                assert (row.rew, row.terminated, row.truncated) == (reward[0], terminated[0], truncated[0])
                total += reward[0]
            assert terminated[0] or truncated[0]
            observation, _ = plain.reset()
            returns.append(total)
    np.testing.assert_allclose(np.sort(stats.returns), np.sort(returns), rtol=0, atol=1e-9)
    assert stats.n_collected_episodes == len(returns) > 20
    if "n_episode" in amount:
        assert len(returns) == 23
        assert min(batches) < LANES == max(batches)  # lanes that are no longer needed are not stepped
    else:
        assert set(batches) == {LANES}


def test_random_actions() -> None:
    stats, buffer, _ = collect(n_step=10 * LANES, random=True)
    assert stats.n_collected_steps == len(buffer) == 10 * LANES
    assert len(np.unique(buffer[:].act)) > 10


def test_example_runs() -> None:
    """The example runs with few steps, and prints returns before and after training."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "tianshou_dqn.py", "--steps", "2000"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"return (before|after) training: (-?[\d.]+) \(standard error", done.stdout)
    assert [name for name, _ in printed] == ["before", "after"]


@pytest.mark.long
def test_learning() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "tianshou_dqn.py", "--steps", "200000"], capture_output=True, text=True, check=True
    )
    print(f"Tianshou {version('tianshou')}, Gymnasium {version('gymnasium')}: {done.stdout.splitlines()[-1]}")
    returns = [float(value) for value in re.findall(r"training: (-?[\d.]+)", done.stdout)]
    assert returns[1] > max(100, returns[0])  # the uniform policy: 30
