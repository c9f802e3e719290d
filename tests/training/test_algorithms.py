"""PPO and Q-learning: sampling, advantages, gradients of the losses, masks, and updates, by independent formulas."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from scipy import stats
from toy_environments import Corridor, Fixed

from alsim.numerics.perceptron import TANH
from alsim.policies.network import FORBIDDEN
from alsim.training.algorithms.normalization import Moments, ObservationScale, RewardScale
from alsim.training.algorithms.on_policy import Batch, estimate_advantages
from alsim.training.algorithms.proximal import ProximalPolicy, differentiate_loss
from alsim.training.algorithms.q_learning import QLearning, random_actions
from alsim.training.algorithms.softmax import sample
from alsim.training.lanes import Lanes
from alsim.training.settings import DQN, PPO

f32 = np.float32
WIDTH = 16


def log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def loss_of(outputs, actions, old, advantages, targets, clip, entropy_weight, value_weight, count):
    """Return the loss of PPO in float64, by the definition of Schulman et al. (2017)."""
    logs = log_softmax(outputs[:, :count])
    ratio = np.exp(logs[np.arange(len(outputs)), actions] - old)
    gains = np.minimum(ratio * advantages, np.clip(ratio, 1 - clip, 1 + clip) * advantages)
    entropy = -(np.exp(logs) * logs).sum(axis=1)
    errors = (outputs[:, count] - targets) ** 2
    return float((value_weight * errors - gains - entropy_weight * entropy).mean())


def test_the_gradient_of_the_loss_equals_finite_differences():
    random = np.random.default_rng(0)
    rows, count, width = 12, 19, 32
    outputs = random.normal(0, 2, (rows, width))
    outputs[:, count + 1 :] = 0
    actions = random.integers(0, count, rows)
    logs = log_softmax(outputs[:, :count])[np.arange(rows), actions]
    # Ratios from 0.4 to 2.4, on both sides of the clipping range, and away from its kinks at 0.8 and 1.2.
    old = logs - np.log(np.array([0.4, 0.7, 0.9, 1.1, 1.5, 2.4] * 2))
    advantages, targets = np.repeat([1.3, -0.7], 6), random.normal(size=rows)
    settings = (0.2, 0.05, 0.7)

    ours = outputs.astype(f32)
    differentiate_loss(
        *(ours, count, actions, old.astype(f32), advantages.astype(f32), targets.astype(f32)),
        *map(f32, settings),
        np.empty((3, width), f32),
    )
    step, expected = 1e-6, np.zeros((rows, width))
    for n, j in np.ndindex(rows, count + 1):
        losses = []
        for sign in (1, -1):
            moved = outputs.copy()
            moved[n, j] += sign * step
            losses.append(loss_of(moved, actions, old, advantages, targets, *settings, count))
        expected[n, j] = (losses[0] - losses[1]) / (2 * step)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected[:, :count]).max() > 0.01


def test_advantages_by_the_definition():
    """The sum over later steps of the same episode of (gamma * lambda)**k times the error k steps later."""
    random = np.random.default_rng(0)
    steps, lanes, gamma, decay = 7, 5, 0.9, 0.9 * 0.8
    rewards, values = random.normal(size=(steps, lanes)), random.normal(size=(steps + 1, lanes))
    terminated = random.random((steps, lanes)) < 0.2
    ended = terminated | (random.random((steps, lanes)) < 0.2)
    assert terminated.any() and (ended & ~terminated).any()
    advantages = np.empty((steps, lanes), f32)
    estimate_advantages(rewards.astype(f32), values.astype(f32), terminated, ended, f32(gamma), f32(decay), advantages)
    for t, n in np.ndindex(steps, lanes):
        expected, weight = 0.0, 1.0
        for k in range(t, steps):
            future = 0.0 if terminated[k, n] else gamma * values[k + 1, n]
            expected += weight * (rewards[k, n] + future - values[k, n])
            weight *= decay
            if ended[k, n]:
                break
        assert advantages[t, n] == pytest.approx(expected, abs=2e-6)


@pytest.mark.heavy
def test_actions_are_drawn_from_the_softmax():
    """Chi-squared test: n = 40,000, seed 0, false-alarm probability 1e-6."""
    count = 21
    logits = np.random.default_rng(1).normal(0, 1.5, count)
    n = 40_000
    outputs = np.zeros((n, 32), f32)
    outputs[:, :count] = logits
    outputs[:, 3] = FORBIDDEN
    logits[3] = -np.inf
    actions, logs = np.empty(n, np.int64), np.empty(n, f32)
    sample(outputs, count, np.random.default_rng(0).random(n, f32), actions, logs, np.empty((2, 32), f32))
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    observed = np.bincount(actions, minlength=count)
    assert observed[3] == 0
    kept = expected > 0
    assert stats.chisquare(observed[kept], n * expected[kept]).pvalue > 1e-6
    np.testing.assert_allclose(logs, np.log(expected[actions]), atol=1e-5)


@pytest.mark.parametrize("allowed", [[0], [4], [2, 3]])
def test_forbidden_actions_are_never_drawn(allowed):
    outputs = np.full((50, 16), FORBIDDEN, f32)
    outputs[:, allowed] = 0
    actions, logs = np.empty(50, np.int64), np.empty(50, f32)
    # The largest uniform number below 1 exceeds all weights after rounding, or nearly so.
    uniforms = np.linspace(0, 1, 50, endpoint=False, dtype=f32)
    uniforms[-1] = np.nextafter(f32(1), f32(0))
    sample(outputs, 5, uniforms, actions, logs, np.empty((2, 16), f32))
    assert set(actions) <= set(allowed)
    np.testing.assert_allclose(logs, -np.log(len(allowed)), atol=1e-6)


def ppo(env=None, seed=0, masks=None, **settings):
    env = env or Fixed(4)
    chosen = {"num_envs": env.num_envs, "n_steps": 4, "minibatches": 2, "net_arch": [8], "steps": 160}
    return ProximalPolicy(Lanes(env, seed, masks), PPO.read({**chosen, **settings}), seed)


def dqn(env=None, seed=0, masks=None, **settings):
    env = env or Fixed(4)
    chosen = {"num_envs": env.num_envs, "n_steps": 4, "minibatches": 2, "net_arch": [8], "steps": 160}
    return QLearning(Lanes(env, seed, masks), DQN.read({**chosen, **settings}), seed)


def test_the_first_policy_is_nearly_uniform_and_the_first_values_are_zero():
    algorithm = ppo(Fixed(4, num_actions=6))
    algorithm.collect()
    assert np.abs(algorithm.log_probabilities + np.log(6)).max() < 0.05
    learner = dqn()
    learner.collect()
    assert not learner.rollout.values.any()


def test_the_gradient_of_q_learning_is_that_of_half_the_squared_error():
    algorithm = dqn()
    algorithm.collect()
    rows = np.array([0, 5, 9, 15])
    batch = Batch(algorithm.rollout, rows)
    outputs = np.random.default_rng(0).normal(size=(4, WIDTH)).astype(f32)
    actions = algorithm.rollout.actions.ravel()[rows]
    targets = (algorithm.rollout.advantages + algorithm.rollout.values[:-1]).ravel()[rows]
    errors = (outputs[np.arange(4), actions] + outputs[:, 3] - targets) / 4  # output 3 is the value of the state
    expected = np.zeros((4, WIDTH))
    expected[np.arange(4), actions] = expected[:, 3] = errors
    algorithm.differentiate(outputs, batch)
    np.testing.assert_allclose(outputs, expected, atol=1e-7)


def test_targets_of_q_learning_are_returns_of_lambda():
    """Q(lambda) by its recursion: r + gamma * ((1 - lambda) * max Q' + lambda * return'), Peng & Williams (1996)."""
    algorithm = dqn(Corridor(3, limit=5), q_lambda=0.65, gamma=0.9, n_steps=8, minibatches=1)
    algorithm.perceptron.layers[-1].weights[:] = np.random.default_rng(0).normal(size=(8, WIDTH))
    algorithm.collect()
    r = algorithm.rollout
    for n in range(3):
        following = r.values[8, n]
        for t in reversed(range(8)):
            bootstrap = r.values[t + 1, n]
            mixed = bootstrap if r.ended[t, n] else 0.35 * bootstrap + 0.65 * following
            following = r.rewards[t, n] + 0.9 * mixed * (not r.terminated[t, n])
            assert r.advantages[t, n] + r.values[t, n] == pytest.approx(following, abs=1e-5)


@pytest.mark.heavy
def test_actions_are_drawn_by_their_values():
    """Chi-squared test: n = 40,000, seed 0, false-alarm probability 1e-6. A temperature of 0 is greedy."""
    count, values = 40_000, np.array([1.0, 1.2, 0.7])
    for temperature in (0.0, 0.5):
        algorithm = dqn(Fixed(count), steps=count * 4, minibatches=1, temperature=temperature)
        algorithm.settings = algorithm.settings.model_copy(
            update={"exploration_final_eps": 0.0, "exploration_fraction": 0.0}
        )
        outputs = np.zeros((count, WIDTH), f32)
        outputs[:, :3], outputs[:, 3] = values, 5
        algorithm.choose(outputs, 0)
        np.testing.assert_allclose(algorithm.rollout.values[0], 6.2, rtol=1e-6)
        drawn = np.bincount(algorithm.rollout.actions[0], minlength=3)
        if temperature == 0:
            assert list(drawn) == [0, count, 0]
        else:
            odds = np.exp(values / temperature)
            assert stats.chisquare(drawn, count * odds / odds.sum()).pvalue > 1e-6


def test_epsilon_decreases_linearly_and_then_stays():
    algorithm = dqn(steps=1600, exploration_fraction=0.5, exploration_final_eps=0.1)
    for steps, epsilon in ((0, 1.0), (400, 0.55), (800, 0.1), (1200, 0.1), (1600, 0.1)):
        algorithm.steps = steps
        assert algorithm.epsilon == pytest.approx(epsilon)
    assert dqn(exploration_fraction=0).epsilon == DQN().exploration_final_eps


def test_random_actions_are_uniform_over_allowed_ones():
    """Chi-squared test: n = 20,000, seed 0, false-alarm probability 1e-6."""
    masks = np.zeros((20_000, 7), np.bool_)
    masks[:, [1, 4, 6]] = True
    drawn = random_actions(np.random.default_rng(0), 20_000, 7, masks)
    counts = np.bincount(drawn, minlength=7)
    assert counts[[0, 2, 3, 5]].sum() == 0
    assert stats.chisquare(counts[[1, 4, 6]]).pvalue > 1e-6
    free = np.bincount(random_actions(np.random.default_rng(0), 20_000, 7, None), minlength=7)
    assert stats.chisquare(free).pvalue > 1e-6


@pytest.mark.parametrize("make", [ppo, dqn])
def test_masks_hold_in_training_and_in_the_gradient(make):
    """Masks differ between observations; forbidden actions are never taken and their weights never change."""
    seen = []

    def masks(observations):
        allowed = np.zeros((len(observations), 4), np.bool_)
        allowed[:, 1] = True
        allowed[:, 2] = observations[:, 0] > 0.5
        seen.append(allowed)
        return allowed

    algorithm = make(Fixed(4, num_actions=4), masks=masks)
    before = algorithm.perceptron.layers[-1].weights[:, [0, 3]].copy()
    algorithm.learn(lambda: None)
    kept = algorithm.rollout
    assert np.take_along_axis(kept.masks, kept.actions[..., None], 2).all()
    assert set(np.unique(kept.actions)) <= {1, 2}
    np.testing.assert_array_equal(algorithm.perceptron.layers[-1].weights[:, [0, 3]], before)
    assert len(seen) == 1 + 160 // 4


@pytest.mark.parametrize("make", [ppo, dqn])
def test_the_learning_rate_changes_linearly_and_all_updates_are_made(make, monkeypatch):
    algorithm = make(learning_rate=0.1, final_learning_rate=0.02, n_epochs=3, minibatches=2)
    rates = []
    monkeypatch.setattr(algorithm.optimizer, "update", lambda parameters, gradient, rate, norm: rates.append(rate))
    algorithm.learn(lambda: None)
    rollouts = 160 // 16
    expected = np.repeat(0.1 - 0.08 * np.arange(rollouts) / rollouts, 3 * 2)
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_every_row_is_in_one_minibatch():
    algorithm = ppo(Fixed(6), n_steps=5, minibatches=3)
    algorithm.collect()
    rows = np.concatenate([batch.rows for batch in algorithm.rollout.batches(3, np.random.default_rng(0))])
    assert sorted(rows) == list(range(30)) and list(rows) != list(range(30))


@pytest.mark.heavy
@pytest.mark.parametrize("make", [ppo, dqn])
def test_a_policy_learns_which_action_pays(make):
    """The reward is 1 for the action that the observation shows, otherwise 0."""
    algorithm = make(Fixed(16, num_actions=3), steps=6400, learning_rate=0.02, final_learning_rate=0.002, gamma=0.0)
    algorithm.learn(lambda: None)
    outputs = algorithm.network.forward(np.eye(3, dtype=f32))
    assert list(outputs.argmax(axis=1)) == [0, 1, 2]


def test_moments_equal_those_of_all_rows():
    random = np.random.default_rng(0)
    rows = random.normal(3, [1, 0.1, 10], (70, 3))
    moments = Moments(3)
    for part in np.split(rows, [10, 11, 40]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.deviation, rows.std(axis=0), rtol=1e-6)  # the smallest variance is added
    assert list(Moments(2).deviation) == [1, 1]


def test_a_scale_within_the_first_layer_gives_the_same_outputs():
    random = np.random.default_rng(0)
    scale, rows = ObservationScale(4), random.normal(5, 3, (50, 4)).astype(f32)
    scaled = scale.apply(rows)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)
    weights, biases = random.normal(size=(4, 3)).astype(f32), random.normal(size=3).astype(f32)
    inner_weights, inner_biases = scale.within(weights, biases)
    np.testing.assert_allclose(rows @ inner_weights + inner_biases, scaled @ weights + biases, atol=1e-4)


def test_rewards_are_divided_by_the_deviation_of_discounted_returns():
    scale, returns, seen = RewardScale(2, 0.5), np.zeros(2), []
    for rewards, ended in (([1, 2], [0, 0]), ([3, -1], [1, 0]), ([2, 2], [0, 0])):
        returns = 0.5 * returns + np.array(rewards)
        seen.extend(returns)
        scaled = scale.apply(np.array(rewards, f32), np.array(ended, np.bool_))
        np.testing.assert_allclose(scaled, np.array(rewards) / np.std(seen), rtol=1e-5)
        returns[np.array(ended, bool)] = 0


@pytest.mark.parametrize("make", [ppo, dqn])
def test_scaled_trainings_give_a_network_for_plain_observations(make):
    algorithm = make(Fixed(4), normalize_observations=True, normalize_rewards=True)
    algorithm.learn(lambda: None)
    rows = np.random.default_rng(0).random((8, 3), f32)
    inner = algorithm.perceptron.forward(algorithm.observation_scale.scaled(rows))[:, :3]
    np.testing.assert_allclose(algorithm.network.forward(rows), inner, atol=1e-5)
    assert algorithm.perceptron.activation == TANH


def test_observations_are_counted_once():
    """The last observation of a rollout is the first one of the next."""
    algorithm = ppo(Fixed(4), normalize_observations=True, n_steps=4)
    for rollouts in (1, 2, 3):
        algorithm.collect()
        assert algorithm.observation_scale.moments.count[0] == rollouts * 4 * 4


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_value_after_a_truncation_is_that_of_an_allowed_action(mode):
    allowed = np.array([True, False, True])
    algorithm = dqn(Corridor(2, mode), masks=lambda rows: np.tile(allowed, (len(rows), 1)), n_steps=6, gamma=0.9)
    last = algorithm.perceptron.layers[-1]
    last.weights[:] = np.random.default_rng(0).normal(size=last.weights.shape)
    last.biases[1] = 100  # the forbidden action would be the best
    algorithm.collect()
    rows = np.array([[3, 0, 0], [2, 0, 0]], f32) / 10  # lane 0 is truncated after 3 steps, with a reward of 3
    outputs = algorithm.perceptron.forward(rows)
    final, before = outputs[:, :3][:, allowed].max(axis=1) + outputs[:, 3]
    assert algorithm.rollout.advantages[2, 0] == pytest.approx(3 + 0.9 * final - before, abs=1e-5)


def test_values_that_were_all_the_same_are_not_scaled_up():
    scale = RewardScale(100, 0.9)
    np.testing.assert_array_equal(scale.apply(np.full(100, 0.1, f32), np.zeros(100, np.bool_)), f32(0.1))
    later = scale.apply(np.full(100, 0.1, f32), np.zeros(100, np.bool_))
    np.testing.assert_allclose(later, 0.1 / np.std([0.1, 0.19]), rtol=1e-4)
    observations = ObservationScale(2)
    observations.apply(np.tile(np.array([[0.0, 7.3]], f32), (100, 1)))
    np.testing.assert_allclose(observations.scaled(np.array([[1.0, 7.3]], f32)), [[1, 0]], atol=1e-6)
