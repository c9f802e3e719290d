"""Cost of a step, by number of lanes and by environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import alsim

CALLS = 50


def actions_of(lanes):
    """Return CALLS batches of uniform actions."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 270, lanes) for _ in range(CALLS)]


def walk(envs, batches):
    """Step the environments once with each batch of actions."""
    for actions in batches:
        envs.step(actions)


@pytest.mark.parametrize("lanes", [1, 16, 256, 4096, 65_536])
def test_vector_step(benchmark, lanes):
    """Time `VectorEnv.step` with default options under the uniform policy, including resets."""
    envs = gymnasium.make_vec("alsim/AdaptiveLearning-v0", num_envs=lanes)
    envs.reset(seed=0)
    batches = actions_of(lanes)
    walk(envs, batches * 3)  # so that episodes end at different times
    benchmark.extra_info["learner_steps_a_round"] = CALLS * lanes
    benchmark(walk, envs, batches)


@pytest.mark.parametrize("threads", [1, 2])
def test_vector_step_threads(benchmark, threads):
    """Time a step of 65,536 lanes that are split over threads."""
    envs = alsim.AdaptiveLearningVectorEnv(65_536, num_threads=threads)
    envs.reset(seed=0)
    batches = actions_of(65_536)[:10]
    walk(envs, batches)
    benchmark.extra_info["learner_steps_a_round"] = 10 * 65_536
    benchmark(walk, envs, batches)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_vector_step_mode(benchmark, mode):
    """Time a step of 4096 lanes in two autoreset modes."""
    envs = alsim.AdaptiveLearningVectorEnv(4096, autoreset_mode=mode)
    envs.reset(seed=0)
    batches = actions_of(4096)
    walk(envs, batches * 3)
    benchmark.extra_info["learner_steps_a_round"] = CALLS * 4096
    benchmark(walk, envs, batches)


@pytest.mark.parametrize("buffers", ["same", "fresh", "copied"])
@pytest.mark.parametrize("lanes", [1, 4096])
def test_step_into_buffers(benchmark, lanes, buffers):
    """Time steps into the storage of a rollout: into the same arrays, into the next row, or copied afterwards."""
    envs = alsim.AdaptiveLearningVectorEnv(lanes)
    envs.reset(seed=0)
    batches = actions_of(lanes)
    walk(envs, batches * 3)
    rows, rewards = np.zeros((CALLS, lanes, 32), np.float32), np.zeros((CALLS, lanes))
    terminated, truncated = np.zeros((2, CALLS, lanes), bool)
    one = envs.new_buffers()

    def into():
        for t, actions in enumerate(batches):
            if buffers == "copied":
                rows[t], rewards[t], terminated[t], truncated[t], _ = envs.step(actions)
            else:
                fresh = buffers == "fresh"
                envs.step(
                    actions, out=alsim.Buffers(rows[t], rewards[t], terminated[t], truncated[t]) if fresh else one
                )

    benchmark.extra_info["learner_steps_a_round"] = CALLS * lanes
    benchmark(into)


@pytest.mark.parametrize("some", [16, 2048])
@pytest.mark.parametrize("lanes", [4096, 65_536])
def test_step_lanes(benchmark, lanes, some):
    """Time steps of a subset of lanes, which is drawn again for every step."""
    envs = alsim.AdaptiveLearningVectorEnv(lanes)
    envs.reset(seed=0)
    generator = np.random.default_rng(1)
    calls = [(actions, generator.permutation(lanes)[:some]) for actions in actions_of(some)]

    def walk_some():
        for actions, subset in calls:
            envs.step_lanes(actions, subset)

    walk_some()
    benchmark.extra_info["learner_steps_a_round"] = CALLS * some
    benchmark(walk_some)


@pytest.mark.parametrize("call", ["snapshot", "restore"])
def test_snapshot(benchmark, call):
    """Time a snapshot of 4096 learners, or its restoration."""
    envs = alsim.AdaptiveLearningVectorEnv(4096)
    envs.reset(seed=0)
    snapshot = envs.snapshot()
    benchmark(*((envs.snapshot,) if call == "snapshot" else (envs.restore, snapshot)))


def test_single_step(benchmark):
    """Time `gymnasium.make(...).step`, including its wrappers."""
    env = gymnasium.make("alsim/AdaptiveLearning-v0", config={"termination": {"max_frustration": 1.0}})
    batch = np.random.default_rng(0).integers(90, 270, CALLS)  # contents only, so that no episode ends within a round

    def episode():
        env.reset(seed=0)
        for action in batch:
            env.step(action)

    episode()
    benchmark.extra_info["learner_steps_a_round"] = CALLS
    benchmark(episode)


def test_reset(benchmark):
    """Time the reset of a batch of 4096: 30 Beta variates and one normal variate per lane."""
    envs = alsim.AdaptiveLearningVectorEnv(4096)
    benchmark.extra_info["learners_a_round"] = 4096
    benchmark(envs.reset, seed=0)
