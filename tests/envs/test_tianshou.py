"""The adapter for Tianshou without Tianshou itself, which tests/compat/test_tianshou.py uses."""

from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from alsim import AdaptiveLearningVectorEnv
from alsim.envs.tianshou import AdaptiveLearningTianshouEnv

pytestmark = pytest.mark.gymnasium

SHORT = {"num_los": 4, "max_episode_steps": 14, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.5}}
A, R = 36, 6


def pair(lanes: int = 5) -> tuple[Any, Any]:
    plain = AdaptiveLearningVectorEnv(lanes, config=SHORT, autoreset_mode="Disabled")
    return AdaptiveLearningTianshouEnv(lanes, config=SHORT), plain


def test_attributes_that_a_collector_uses() -> None:
    env, plain = pair()
    assert (len(env), env.env_num, env.is_async) == (5, 5, False)
    assert env.action_space == plain.single_action_space
    assert env.observation_space == plain.single_observation_space
    assert env.render() == [None] * 5
    env.close()


def test_frames_are_a_list_over_lanes() -> None:
    env = AdaptiveLearningTianshouEnv(2, config=SHORT, render_mode="ansi", max_episode_steps=9)
    env.reset(seed=0)
    frames = env.render()
    assert isinstance(frames, list) and len(frames) == 2 and all("step 0 of 9" in frame for frame in frames)
    env.close()


def test_some_lanes_in_any_order() -> None:
    env, plain = pair()
    observations, infos = env.reset(seed=3)
    np.testing.assert_array_equal(observations, plain.reset(seed=3)[0])
    assert infos.shape == (5,)
    generator = np.random.default_rng(0)
    ended = 0
    for _ in range(120):
        lanes = generator.permutation(5)[: generator.integers(1, 6)]
        actions = generator.integers(A, size=len(lanes))
        *arrays, infos = env.step(actions, lanes)
        *expected, _ = plain.step_lanes(actions, lanes)
        for got, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert infos.dtype == object
        assert infos.tolist() == [{}] * len(lanes)
        done = lanes[arrays[2] | arrays[3]]
        if len(done):
            with pytest.raises(ResetNeeded):
                env.step(np.zeros(len(done), int), done)
            observations, infos = env.reset(done)
            mask = np.isin(np.arange(5), done)
            np.testing.assert_array_equal(observations, plain.reset(options={"reset_mask": mask})[0][done])
            assert infos.tolist() == [{}] * len(done)
            ended += len(done)
    assert ended > 15


def test_step_one_lane_and_all_lanes() -> None:
    env, plain = pair()
    env.reset(seed=0)
    plain.reset(seed=0)
    np.testing.assert_array_equal(env.step([3], 2)[0], plain.step_lanes([3], [2])[0])
    np.testing.assert_array_equal(env.step([3] * 5)[0], plain.step([3] * 5)[0])
    first, _ = env.reset(4)
    assert first.shape == (1, R)
    np.testing.assert_array_equal(env.envs.lanes["episode"], np.array([0, 0, 0, 0, 1], np.uint32))


def test_seeds() -> None:
    """The seed set by `seed` applies to the next reset of all lanes only."""
    env, plain = pair()
    assert env.seed(9) == [9] * 5
    for expected in (9, None):
        np.testing.assert_array_equal(env.reset()[0], plain.reset(seed=expected)[0])
    assert env.seed([1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    env.reset([0])
    np.testing.assert_array_equal(env.reset()[0], plain.reset(seed=[1, 2, 3, 4, 5])[0])
    observations, _ = env.reset([2, 1], seed=7)
    np.testing.assert_array_equal(observations, plain.reset(seed=7)[0][[2, 1]])
