"""RLlib's module for action masking, with the environment of the example, which refuses masked actions."""

from collections.abc import Iterator

import gymnasium
import masks as examples
import numpy as np
import pytest
import ray
from rllib_masked_ppo import make_env, ppo

CONFIG = {"num_los": 4, "max_episode_steps": 14, "curriculum": examples.EDGES}
SETTINGS = {"config": CONFIG, "action_mask": "curriculum:0.35"}


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """End Ray, which a test may start, and remove the name that RLlib registers, which must not be there again."""
    yield
    ray.shutdown()
    gymnasium.registry.pop("rllib-single-agent-env-v0", None)


def test_observations_contain_the_mask() -> None:
    env = make_env(SETTINGS)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    np.testing.assert_array_equal(observation["action_mask"] == 1, env.get_wrapper_attr("action_masks")())


def test_ppo_takes_only_allowed_actions() -> None:
    """The environment raises an error for any other action."""
    algorithm = ppo(SETTINGS, train_batch_size=256, minibatch_size=64, num_epochs=1).build_algo()
    try:
        result = algorithm.train()
        assert result["env_runners"]["num_env_steps_sampled"] >= 256
    finally:
        algorithm.stop()
