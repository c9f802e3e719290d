"""Gymnasium's own first examples with the environment, and its wrappers around it."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.utils.env_checker import check_env  # noqa: F401  # in rows of the table
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import vector

import alsim  # noqa: F401  # registers the environment

pytestmark = pytest.mark.gymnasium
ID = "alsim/AdaptiveLearning-v0"
SHORT = {"max_episode_steps": 8}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Videos go to a temporary folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_first_example(first_example):
    first_example.check_version()
    names = first_example.run(globals())
    for name in ("env", "envs"):
        if name in names:
            names[name].close()


def episode(env, seed=0):
    """Run one episode and return its last info, and the number of its steps."""
    env.action_space.seed(0)
    env.reset(seed=seed)
    for step in range(1, 1000):
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        if terminated or truncated:
            return info, step
    raise AssertionError


def test_the_loop_of_the_basic_usage():
    """https://gymnasium.farama.org/introduction/basic_usage/"""
    env = gym.make(ID)
    _, info = env.reset(seed=42)
    over, total = False, 0.0
    while not over:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        total += reward
        over = terminated or truncated
    assert info["termination_reason"] and np.isfinite(total)
    env.close()


WRAPPERS = {
    "TimeLimit": lambda env: wrappers.TimeLimit(env, 5),
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "FlattenObservation": wrappers.FlattenObservation,
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 3),
    "DelayObservation": lambda env: wrappers.DelayObservation(env, 2),
    "TimeAwareObservation": lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, 8)),
    "RescaleObservation": lambda env: wrappers.RescaleObservation(env, -1, 1),
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: reward / 10),
    "ClipReward": lambda env: wrappers.ClipReward(env, -1, 1),
    "StickyAction": lambda env: wrappers.StickyAction(env, 0.5),
    "Autoreset": wrappers.Autoreset,
    "PassiveEnvChecker": wrappers.PassiveEnvChecker,
    "OrderEnforcing": wrappers.OrderEnforcing,
}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("info", ["full", "flat"])
def test_wrappers(name, info):
    env = WRAPPERS[name](gym.make(ID, config=SHORT, info=info))
    last, steps = episode(env)
    assert steps == (5 if name == "TimeLimit" else 8)
    if name == "RecordEpisodeStatistics":
        assert last["episode"]["l"] == steps
    env.close()


VECTOR_WRAPPERS = {
    "RecordEpisodeStatistics": vector.RecordEpisodeStatistics,
    "NormalizeReward": vector.NormalizeReward,
    "ClipReward": lambda envs: vector.ClipReward(envs, -1, 1),
    "DictInfoToList": vector.DictInfoToList,
    "FlattenObservation": vector.FlattenObservation,
    "NormalizeObservation": vector.NormalizeObservation,
    "RescaleObservation": lambda envs: vector.RescaleObservation(envs, -1, 1),
}
CASES = [(name, mode) for name in VECTOR_WRAPPERS for mode in ("NextStep", "SameStep")]
CASES = [(name, mode) for name, mode in CASES if mode == "NextStep" or "Observation" not in name]
"""Gymnasium's observation wrappers reject SameStep with an error."""

OLD = tuple(map(int, gym.__version__.split(".")[:2])) < (1, 4)
"""Under SameStep, the statistics of these versions omit the first step of every later episode."""


@pytest.mark.parametrize(("name", "mode"), CASES)
@pytest.mark.parametrize("info", ["none", "minimal", "full", "flat"])
def test_vector_wrappers(name, info, mode):
    envs = VECTOR_WRAPPERS[name](gym.make_vec(ID, 3, config=SHORT, info=info, autoreset_mode=mode))
    envs.action_space.seed(0)
    envs.reset(seed=0)
    ended = 0
    for _ in range(20):
        _, _, terminated, truncated, infos = envs.step(envs.action_space.sample())
        ended += (terminated | truncated).sum()
        if name == "DictInfoToList":
            assert len(infos) == 3 and all(isinstance(one, dict) for one in infos)
        if name == "RecordEpisodeStatistics" and (terminated | truncated).any():
            statistics = infos["final_info"] if mode == "SameStep" and "final_info" in infos else infos
            lengths = (statistics if "episode" in statistics else infos)["episode"]["l"]
            assert set(lengths[terminated | truncated]) <= ({7, 8} if mode == "SameStep" and OLD else {8})
    assert ended >= 6
    envs.close()


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_vector_environments_of_gymnasium(kind):
    """https://gymnasium.farama.org/introduction/speed_up_env/: the processes import alsim by the name's first part."""
    envs = kind([lambda: gym.make(f"alsim:{ID}", info="flat")] * 2)
    envs.reset(seed=0)
    for _ in range(3):
        _, _, _, _, infos = envs.step(np.array([5, 100]))
    assert infos["step"].tolist() == [3, 3] and infos["_step"].all()
    envs.close()
