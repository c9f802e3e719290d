"""Trainings in memory: `alsim.training.ppo` and `dqn`, on simulated learners and in other environments."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from toy_environments import Corridor, Fixed

import alsim
from alsim import training
from alsim.training import DQN, PPO, TrainingError

SMALL = {"num_los": 3, "max_episode_steps": 12}
QUICK = {"num_envs": 16, "n_steps": 8, "minibatches": 2, "net_arch": (8,), "steps": 512}
TRAIN = {"ppo": training.ppo, "dqn": training.dqn}


def same(one, other):
    """Return whether two networks are equal bit for bit."""
    pairs = zip(one.layers, other.layers, strict=True)
    return all(np.array_equal(a, b) for layers in pairs for a, b in zip(*layers, strict=True))


@pytest.mark.heavy
@pytest.mark.parametrize("algorithm", TRAIN)
@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_an_agent_of_simulated_learners_is_a_policy(algorithm, observation):
    updates = []
    agent = TRAIN[algorithm](SMALL, observation=observation, progress=updates.append, **QUICK)
    assert (agent.steps, agent.name, agent.observation) == (512, algorithm, observation)
    assert [update.steps for update in updates] == [0, 128, 256, 384] and updates[0].total == 512
    run = alsim.rollout(agent.policy, num_learners=20, config=SMALL, observation=observation)
    assert run.interactions.action.max() < 27
    assert agent.curve[-1].steps == 512 and sum(row.episodes for row in agent.curve) > 512 // 12 - 16
    row = next(row for row in agent.curve if row.episodes)
    assert 0 < row.final_mastery < 1 and 0 <= row.give_ups <= 1 and row.eval_return is None


@pytest.mark.heavy
@pytest.mark.parametrize("algorithm", TRAIN)
def test_the_same_seed_gives_the_same_bits_in_any_number_of_threads(algorithm):
    one = TRAIN[algorithm](SMALL, seed=3, **QUICK)
    assert same(one.network, TRAIN[algorithm](SMALL, seed=3, num_threads=2, **QUICK).network)
    assert not same(one.network, TRAIN[algorithm](SMALL, seed=4, **QUICK).network)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "given",
    [
        {"activation": "relu"},
        {"net_arch": ()},
        {"net_arch": (5, 7, 3)},
        {"num_envs": 1},
        {"normalize_observations": True, "normalize_rewards": True},
        {"n_steps": 1, "minibatches": 1},
        {"learning_rate": 1e-5, "final_learning_rate": 1e-5},
    ],
)
@pytest.mark.parametrize("algorithm", TRAIN)
def test_hyperparameters(algorithm, given):
    agent = TRAIN[algorithm](SMALL, hyperparameters=QUICK, **given)
    assert np.isfinite(agent.network.forward(np.ones((2, 5)))).all()


@pytest.mark.heavy
def test_dynamics_and_banks():
    bank = alsim.sample_bank(alsim.Config.read({**SMALL, "bank": {"seed": 9}}))
    one = training.ppo(SMALL, bank=bank, **QUICK)
    two = training.ppo(SMALL, dynamics={"name": "standard", "learning_rate": 0.3}, **QUICK)
    three = training.ppo(SMALL, **QUICK)
    assert not same(one.network, three.network) and not same(two.network, three.network)


@pytest.mark.heavy
@pytest.mark.parametrize(("algorithm", "given"), [("ppo", {}), ("dqn", {"epsilon": 0.5})])
def test_constant_masks_hold_for_the_policy(algorithm, given):
    allowed = np.zeros(27, np.bool_)
    allowed[[2, 5, 11]] = True
    agent = TRAIN[algorithm](SMALL, masks=allowed, **QUICK, **given)
    run = alsim.rollout(agent.policy, num_learners=200, config=SMALL)
    assert set(np.unique(run.interactions.action)) == {2, 5, 11}


def test_masks_by_observation_hold_for_act():
    def masks(observations):
        return np.tile(np.arange(27) % 2 == 0, (len(observations), 1))

    agent = training.dqn(SMALL, masks=masks, **{**QUICK, "epsilon": 1.0})
    with pytest.raises(TrainingError, match="masks by a function would not respect them; use act"):
        _ = agent.policy
    rows = np.random.default_rng(0).random((400, 5), np.float32)
    for random in (None, np.random.default_rng(0)):
        assert (agent.act(rows, masks=masks(rows), random=random) % 2 == 0).all()
    assert len(set(agent.act(rows, masks=masks(rows), random=np.random.default_rng(0)))) == 14


@pytest.mark.heavy
def test_an_agent_acts_as_its_network_says():
    agent = training.ppo(Fixed(8), n_steps=4, minibatches=1, net_arch=(8,), steps=64)
    rows = np.random.default_rng(0).random((5, 3))
    outputs = agent.network.forward(rows)
    np.testing.assert_array_equal(agent.act(rows), outputs.argmax(axis=1))
    # Chi-squared test: n = 9,000, seed 0, false-alarm probability 1e-6.
    from scipy.stats import chisquare

    drawn = agent.act(np.repeat(rows[:1], 9000, axis=0), random=np.random.default_rng(0))
    odds = np.exp(outputs[0].astype(np.float64))
    assert chisquare(np.bincount(drawn, minlength=3), 9000 * odds / odds.sum()).pvalue > 1e-6


def test_other_environments_have_no_policy_and_stay_open():
    env = Corridor(4)
    agent = training.dqn(env, n_steps=4, minibatches=1, net_arch=(8,), steps=64)
    with pytest.raises(TrainingError, match="trained in another environment; use act"):
        _ = agent.policy
    assert agent.observation is None and agent.curve[-1].final_mastery is None
    env.step(np.zeros(4, np.int64))
    env.close()


def test_an_environment_sets_the_number_of_lanes_of_hyperparameters():
    given = PPO(n_steps=4, minibatches=1, net_arch=(8,), steps=64)  # 512 lanes by default
    assert training.ppo(Fixed(4), hyperparameters=given).steps == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, {"learning_rat": 1}), "learning_rat = 1: unknown key; expected one of steps, num_envs"),
        ((None, {"minibatches": 3}), "minibatches must divide num_envs \\* n_steps = 4096 into equal parts"),
        ((None, {"normalize_rewards": 1}), "normalize_rewards = 1: expected true or false"),
        ((Fixed(4), {"num_envs": 8, "minibatches": 1}), "num_envs must be that of env, 4; got 8; leave it out"),
        ((Fixed(4), {"hyperparameters": PPO(num_envs=8, minibatches=1)}), "num_envs must be that of env, 4; got 8"),
        ((Fixed(4), {"hyperparameters": {"num_envs": 8}}), "num_envs must be that of env, 4; got 8"),
        ((Fixed(4), {"observation": "responses"}), "apply to simulated learners only; got an environment"),
        (({"num_lo": 3}, {}), "num_lo"),
        (("CartPole-v1", {}), r"got 'CartPole-v1', which does not exist; pass gymnasium.make_vec\('CartPole-v1', num"),
        ((5, {}), "env must be a gymnasium.vector.VectorEnv, or a configuration of alsim; got int"),
        (
            (SMALL, {"masks": np.ones((512, 27), bool)}),
            r"masks must be Booleans of shape \(A,\).*got \(512, 27\); pass a",
        ),
        ((SMALL, {"masks": [[1], [1, 0]]}), r"shape \(A,\).*got rows of different lengths; pass a function"),
        ((None, {"seed": -1}), "seed must be an integer in"),
        ((None, {"hyperparameters": DQN()}), "hyperparameters must be PPO, a mapping or a TOML file; got"),
    ],
)
def test_invalid_arguments_are_an_error(arguments, message):
    env, given = arguments
    with pytest.raises(ValueError, match=message) as raised:
        training.ppo(env, **given)
    assert "\n" not in str(raised.value)


def test_a_training_that_diverges_is_an_error():
    with pytest.raises(TrainingError, match="the training diverged.*use a lower learning_rate"):
        training.dqn(SMALL, hyperparameters=QUICK, learning_rate=1e7, final_learning_rate=1e7)


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_ppo_learns_cartpole(mode):
    """Episodes end after 500 steps; a random policy lasts about 20. Seeds 0 to 2 in NEXT_STEP all reach 500."""
    if mode == AutoresetMode.NEXT_STEP:
        env = gym.make_vec("CartPole-v1", num_envs=64)  # the vector environment of Gymnasium
    else:
        vector = {"autoreset_mode": mode}
        env = gym.make_vec("CartPole-v1", num_envs=64, vectorization_mode="sync", vector_kwargs=vector)
    chosen = PPO(n_steps=32, n_epochs=4, gamma=0.99, normalize_rewards=True, steps=150_000)
    agent = training.ppo(env, hyperparameters=chosen)
    env.close()
    held_out = gym.make_vec("CartPole-v1", num_envs=100)
    observations, _ = held_out.reset(seed=10**6)
    alive, lengths = np.ones(100, np.bool_), np.zeros(100)
    for _ in range(500):
        observations, _, terminated, truncated, _ = held_out.step(agent.act(observations))
        lengths += alive
        alive &= ~(terminated | truncated)
    assert lengths.mean() > 400
