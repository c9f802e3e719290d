"""Lanes of vector environments: automatic resets, masks, statistics of episodes, and errors."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode
from toy_environments import Corridor, Fixed, Toy

from alsim.training import TrainingError
from alsim.training.algorithms.proximal import ProximalPolicy
from alsim.training.lanes import Lanes
from alsim.training.settings import PPO

MODES = list(AutoresetMode)


def collected(mode, steps=12, lanes=4):
    """Return an algorithm after its first rollout, with values that are not 0."""
    algorithm = ProximalPolicy(
        Lanes(Corridor(lanes, mode), 0),
        PPO(num_envs=lanes, n_steps=steps, minibatches=1, net_arch=(8,), gae_lambda=0.9, gamma=0.9),
        0,
    )
    algorithm.perceptron.layers[-1].weights[:] = np.random.default_rng(0).normal(size=(8, 16))
    algorithm.collect()
    return algorithm


@pytest.mark.parametrize("mode", MODES)
def test_episodes_are_counted_by_their_interactions(mode):
    lanes = Lanes(Corridor(4, mode), 0)
    for _ in range(20):
        lanes.step(np.zeros(4, np.int64))
    episodes = lanes.take_episodes()
    period = np.arange(3, 7) + (mode == AutoresetMode.NEXT_STEP)  # NEXT_STEP resets in a step of its own
    expected = sorted(
        length
        for lane, length in enumerate(range(3, 7))
        for _ in range(int((20 + (mode == AutoresetMode.NEXT_STEP)) // period[lane]))
    )
    assert sorted(episodes.lengths) == expected
    np.testing.assert_array_equal(episodes.returns, episodes.lengths * (episodes.lengths + 1) / 2)
    assert np.isnan(episodes.final_mastery).all() and np.isnan(episodes.gave_up).all()
    assert len(lanes.take_episodes().returns) == 0


def test_all_modes_of_resets_give_the_same_advantages():
    """The interactions of the toy do not depend on the mode; only NEXT_STEP has rows that just reset a lane."""
    by_mode = {}
    for mode in MODES:
        algorithm = collected(mode, steps=30)
        rollout, rows = algorithm.rollout, {}
        for t, n in np.ndindex(*rollout.actions.shape):
            if not rollout.skipped[t, n]:
                key = tuple(np.round(rollout.observations[t, n] * 10).astype(int))
                rows[key] = rollout.advantages[t, n]
        by_mode[mode] = rows
    reference = by_mode[AutoresetMode.SAME_STEP]
    assert by_mode[AutoresetMode.DISABLED] == pytest.approx(reference, abs=1e-5)
    # The last episodes of a lane reach the end of the rollout at another count.
    common = {key: value for key, value in by_mode[AutoresetMode.NEXT_STEP].items() if key[2] <= 2}
    assert len(common) == sum(3 * (3 + lane) for lane in range(4))
    assert {key: reference[key] for key in common} == pytest.approx(common, abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_truncation_bootstraps_from_the_value_of_the_last_observation_and_termination_does_not(mode):
    algorithm = collected(mode)
    rollout = algorithm.rollout

    def value(count, lane, episode):
        row = np.array([[count, lane, episode]], np.float32) / 10
        return float(algorithm.perceptron.forward(row)[0, 3])

    for lane, truncated in ((0, True), (1, False), (2, True), (3, False)):
        last = 3 + lane  # the count after the last step of the first episode, and its reward
        expected = last + (0.9 * value(last, lane, 0) if truncated else 0) - value(last - 1, lane, 0)
        assert rollout.advantages[last - 1, lane] == pytest.approx(expected, abs=1e-5)


def test_lanes_that_are_reset_are_left_out_of_minibatches():
    algorithm = collected(AutoresetMode.NEXT_STEP)
    skipped = algorithm.rollout.skipped
    assert [int(np.argmax(skipped[:, lane])) for lane in range(4)] == [3, 4, 5, 6]
    rows = np.concatenate([batch.rows for batch in algorithm.rollout.batches(3, np.random.default_rng(0))])
    assert sorted(rows) == list(np.flatnonzero(~skipped.ravel()))


def test_masks_of_infos_are_used():
    class Masked(Fixed):
        def reset(self, **arguments):
            observations, _ = super().reset(**arguments)
            return observations, {"action_mask": np.tile(np.array([1, 0, 1], np.int8), (self.num_envs, 1))}

        def step(self, actions):
            assert (actions != 1).all()
            *result, _ = super().step(actions)
            masks = np.empty(self.num_envs, dtype=object)
            masks[:] = [np.array([0, 0, 1], np.int8)] * self.num_envs
            return *result, {"action_mask": masks}

    lanes = Lanes(Masked(2), 0)
    np.testing.assert_array_equal(lanes.masks, [[True, False, True]] * 2)
    lanes.step(np.array([0, 2]))
    np.testing.assert_array_equal(lanes.masks, [[False, False, True]] * 2)


class Rotating(gym.Env):
    """An action is forbidden in turn; each episode has another length."""

    observation_space, action_space = Box(0, 1, (1,)), Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.length = 0, int(self.np_random.integers(3, 9))
        return np.zeros(1, np.float32), self.info()

    def step(self, action):
        assert action != self.count % 3
        self.count += 1
        return np.zeros(1, np.float32), 1.0, False, self.count == self.length, self.info()

    def info(self):
        return {"action_mask": (np.arange(3) != self.count % 3).astype(np.int8)}


@pytest.mark.parametrize("mode", MODES)
def test_masks_of_infos_stay_valid_when_some_lanes_are_reset(mode):
    env = gym.vector.SyncVectorEnv([Rotating] * 4, autoreset_mode=mode)
    lanes = Lanes(env, 0)
    for _ in range(40):
        lanes.step(lanes.masks.argmax(axis=1))
    assert len(set(lanes.take_episodes().lengths)) > 1


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.ones(4, bool), r"Booleans of shape \(2, 3\) or \(3,\); got bool \(4,\)"),
        (np.ones(3), "got float64"),
        (np.array([[1, 0, 0], [0, 0, 0]], bool), "at least one action in each lane; lane 1 has none"),
    ],
)
def test_invalid_masks_are_an_error(masks, message):
    with pytest.raises(TrainingError, match=message):
        Lanes(Fixed(2), 0, lambda observations: masks)


def spaces(observations=None, actions=None, mode=AutoresetMode.NEXT_STEP):
    env = Fixed(2)
    env.single_observation_space = observations or env.single_observation_space
    env.single_action_space = actions or env.single_action_space
    env.metadata = {"autoreset_mode": mode}
    return env


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (lambda: spaces(actions=Box(-1, 1, (2,))), "Discrete action space; got Box.*neither continuous actions"),
        (
            lambda: spaces(actions=MultiDiscrete([2, 2])),
            "Discrete action space; got MultiDiscrete.*nor several actions at a time: convert",
        ),
        (lambda: spaces(actions=Discrete(3, start=1)), "must start at 0; got Discrete"),
        (lambda: spaces(observations=Discrete(5)), "observations in a Box; got Discrete"),
        (lambda: spaces(observations=Dict(a=Box(0, 1, (2,)))), "FlattenObservation"),
        (lambda: spaces(mode="sometimes"), "must be one of NEXT_STEP, SAME_STEP, DISABLED; got 'sometimes'"),
        (lambda: gym.make("CartPole-v1"), "must be a gymnasium.vector.VectorEnv.*got .*gymnasium.make_vec"),
        (lambda: 5, "got int"),
    ],
)
def test_invalid_environments_are_an_error(env, message):
    with pytest.raises(TrainingError, match=message):
        Lanes(env(), 0)


def test_same_step_needs_last_observations():
    class Wrong(Corridor):
        def step(self, actions):
            *result, _ = super().step(actions)
            return *result, {"other": 1}

    lanes = Lanes(Wrong(2, AutoresetMode.SAME_STEP), 0)
    with pytest.raises(TrainingError, match=r'infos\["final_obs"\]; got infos with other; use the mode NEXT_STEP'):
        for _ in range(5):
            lanes.step(np.zeros(2, np.int64))


@pytest.mark.parametrize("name", ["reward", "observation"])
def test_values_that_are_not_finite_are_an_error(name):
    class Broken(Fixed):
        calls = 0

        def step(self, actions):
            observations, rewards, *rest = super().step(actions)
            Broken.calls += 1
            if Broken.calls == 6:
                (rewards if name == "reward" else observations)[1] = np.nan
            return observations, rewards, *rest

    algorithm = ProximalPolicy(
        Lanes(Broken(4), 0), PPO(num_envs=4, n_steps=4, minibatches=1, net_arch=(4,), steps=64), 0
    )
    before = None
    with pytest.raises(
        TrainingError,
        match=f"the {name} that the environment returned is not finite: .*nan.* in lane 1, in the rollout after 16",
    ):
        algorithm.collect()
        before = algorithm.perceptron.parameters.copy()
        algorithm.improve()
        algorithm.collect()
    assert before is not None and np.isfinite(algorithm.perceptron.parameters).all()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_last_observations_that_are_not_finite_are_an_error(mode):
    class Broken(Corridor):
        def _observe(self):
            observations = super()._observe()
            observations[self.over & (np.arange(self.num_envs) == 2), 0] = np.nan
            return observations

    with pytest.raises(
        TrainingError, match=r"the last observation that .* is not finite: \[nan .*\] in lane 2, in the"
    ):
        ProximalPolicy(Lanes(Broken(4, mode), 0), PPO(num_envs=4, n_steps=8, minibatches=1), 0).collect()


def test_images_are_flattened():
    class Image(Toy):
        def __init__(self):
            super().__init__(2)
            self.single_observation_space = Box(0, 255, (2, 2, 3), np.uint8)

        def reset(self, *, seed=None, options=None):
            return np.full((2, 2, 2, 3), 7, np.uint8), {}

    lanes = Lanes(Image(), 0)
    assert lanes.observations.shape == (2, 12) and lanes.observations.dtype == np.float32
