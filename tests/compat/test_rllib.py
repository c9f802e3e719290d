"""RLlib's new API stack with the vector environment: docs/examples/rllib_ppo.py."""

from importlib import import_module

import gymnasium
import numpy as np
import pytest
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from replay import SHORT, Episode, Learners, same

from alsim import AdaptiveLearningEnv


@pytest.fixture(scope="module")
def example():
    return import_module("rllib_ppo")


def test_first_example(first_example, ray_cluster):
    first_example.check_version()
    names = first_example.run(globals())
    assert np.isfinite(names["result"]["env_runners"]["episode_return_mean"])
    names["algorithm"].stop()


def test_the_config_of_a_class():
    """RLlib passes env_config as the first argument of a class."""
    config = PPOConfig().environment(AdaptiveLearningEnv, env_config={"num_los": 3})
    (episode,) = sample(config.env_runners(num_env_runners=0), 1)
    assert episode.observations.shape[1] == 5


def sample(config, num_episodes):
    """Return complete episodes from RLlib's sampler under uniform actions."""
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    runner = SingleAgentEnvRunner(config=config)
    try:
        return [
            Episode(
                np.stack(e.get_observations()),
                np.array(e.get_actions()),
                np.array(e.get_rewards()),
                e.is_terminated,
                e.is_truncated,
            )
            for e in runner.sample(num_episodes=num_episodes, random_actions=True)
        ]
    finally:
        runner.stop()


def test_gymnasium_version_that_rllib_pins():
    assert gymnasium.__version__ == "1.2.2"


def test_sampled_episodes_equal_those_of_single_environments(example):
    episodes = sample(example.configure(4, seed=11, config=SHORT), 60)
    learners = Learners(11, 4, len(episodes), SHORT)
    identities = [learners.identify(e.observations[0]) for e in episodes]
    assert len(set(identities)) == len(episodes) >= 60
    assert {learner for learner, _ in identities} == {0, 1, 2, 3}
    for episode, identity in zip(episodes, identities, strict=True):
        assert same(learners.replay(episode.actions, *identity), episode), identity
    assert {e.terminated for e in episodes} == {e.truncated for e in episodes} == {True, False}


def test_same_step_mode_splices_episodes(example):
    """RLlib joins episodes in mode SameStep, so the recipe sets NextStep.

    If this fails, RLlib has begun to read the mode: remove the warning from docs/integrations.md.
    """
    episodes = sample(example.configure(4, seed=11, config=SHORT, autoreset_mode="SameStep"), 60)
    learners = Learners(11, 4, len(episodes), SHORT)
    spliced = 0
    for episode in episodes:
        identity = learners.first_observations.get(episode.observations[0].tobytes())
        spliced += identity is None or not same(learners.replay(episode.actions, *identity), episode)
    assert spliced > 30


def test_workers_train_on_different_learners(example, ray_cluster):
    """A worker process finds the environment by its name, and no two workers share learners."""
    algorithm = example.train(steps=1000, num_envs=4, seed=3, num_env_runners=2)
    try:
        seeds = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: set(runner.env.unwrapped.lanes["seed"].tolist()), local_env_runner=False
        )
        assert sorted(map(sorted, seeds)) == [[4], [5]]
        returns = example.evaluate(algorithm.get_module(), 20, seed=3)
        assert returns.shape == (20,) and np.isfinite(returns).all() and len(set(returns)) > 1
    finally:
        algorithm.stop()


@pytest.mark.long
def test_learning(example, ray_cluster):
    algorithm = example.train(steps=800_000, num_envs=256, seed=0)
    returns = example.evaluate(algorithm.get_module(), 1000, seed=0)
    algorithm.stop()
    print(f"RLlib {ray.__version__}, Gymnasium {gymnasium.__version__}: held-out return {returns.mean():.1f}")
    assert returns.mean() > 100  # the uniform policy: 30
