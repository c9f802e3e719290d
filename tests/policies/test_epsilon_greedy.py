"""Exploration: the propensities of the log, importance weights, and base policies that cannot be used."""

from typing import NamedTuple

import numpy as np
import pytest

import alsim
from alsim import rule
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.policies import EpsilonGreedy, Network, NetworkPolicy, RulePolicy, Uniform, View, make_policy
from alsim.policies.compiled import content_action, weakest
from alsim.rollouts.rollout import rollout
from alsim.types import f32, f64, i64

SMALL = Config.read({"num_los": 3, "max_episode_steps": 20})
ACTIONS = 27


class Fixed:
    """Always takes one action, and reports a probability for it."""

    name = "fixed"

    def __init__(self, action=4, reported=1.0, shape=None):
        self.action, self.reported, self.shape = action, reported, shape

    def act(self, view, draws):
        return np.full(view.num_lanes, self.action), np.full(view.num_lanes, self.reported)

    def probabilities(self, view):
        odds = np.zeros(self.shape or (view.num_lanes, view.num_actions))
        odds[:, 4] = 1
        return odds


@pytest.mark.compiled
def test_the_share_of_explored_actions_is_epsilon():
    """n > 50,000 interactions; false alarm 1e-6."""
    run = rollout(EpsilonGreedy(Fixed(), 0.3), num_learners=3000, config=SMALL, keep_observations=False)
    n, other = len(run.propensity), run.interactions.action != 4
    expected = 0.3 * (ACTIONS - 1) / ACTIONS
    assert n > 50_000
    assert abs(other.mean() - expected) < 4.9 * (expected * (1 - expected) / n) ** 0.5
    np.testing.assert_array_equal(run.propensity[other], 0.3 / ACTIONS)
    np.testing.assert_array_equal(run.propensity[~other], 0.3 / ACTIONS + 0.7)


@pytest.mark.ci
def test_an_explored_action_has_the_probability_of_all_ways_to_choose_it():
    """`rules` tosses a coin between two contents; an explored action may be either of them."""
    run = rollout("epsilon-greedy:rules:0.2", num_learners=500, config=SMALL)
    possible = {0.2 / ACTIONS, 0.2 / ACTIONS + 0.8 * 0.5, 0.2 / ACTIONS + 0.8}
    assert set(run.propensity) == possible


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize(
    ("behaviour", "target"), [("epsilon-greedy:rules:0.2", "rules"), ("epsilon-greedy:rules:0.5", "uniform")]
)
def test_importance_weights_from_the_log_give_the_value_of_another_policy(behaviour, target):
    """The mean reward of the first interaction, weighted, equals that under the target policy; false alarm 1e-6."""
    one = Config.read({"num_los": 3, "max_episode_steps": 1})
    n = 20_000
    log = rollout(behaviour, num_learners=n, config=one, seed=1)
    direct = rollout(target, num_learners=n, config=one, seed=2).interactions.reward.astype(float)
    policy = make_policy(target)
    view = View(log.obs, "mastery", 3, np.ones(n, bool), np.zeros(n, np.float32))
    weights = policy.probabilities(view)[np.arange(n), log.interactions.action] / log.propensity
    terms = weights * log.interactions.reward
    assert abs(weights.mean() - 1) < 4.9 * weights.std() / n**0.5
    assert abs(terms.mean() - direct.mean()) < 4.9 * ((terms.var() + direct.var()) / n) ** 0.5


def test_an_episode_does_not_depend_on_the_batch():
    arguments = {"config": SMALL, "seed": 3, "episodes_per_learner": 2}
    together = rollout("epsilon-greedy:(epsilon-greedy:rules:0.3):0.2", num_learners=9, **arguments)
    for learner in (0, 5, 8):
        alone = rollout(
            "epsilon-greedy:(epsilon-greedy:rules:0.3):0.2", num_learners=1, first_learner=learner, **arguments
        )
        rows = np.isin(together.interactions.episode, np.flatnonzero(together.learner_id == learner))
        np.testing.assert_array_equal(alone.interactions.action, together.interactions.action[rows])
        np.testing.assert_array_equal(alone.propensity, together.propensity[rows])


class Careless(Uniform):
    """Consumes random numbers only if some learner is frustrated, which depends on the batch."""

    name = "careless"

    def act(self, view, draws):
        if (view.frustration > 0.1).any():
            draws.uniform()
        return super().act(view, draws)


def test_exploration_does_not_depend_on_the_number_of_draws_of_the_base():
    """Explored lanes are the same for both bases: the lanes whose action differs from the fixed one."""
    config = Config.read({"num_los": 3, "max_episode_steps": 5})
    explored = []
    for base in (Fixed(), Careless()):
        run = rollout(EpsilonGreedy(base, 0.5), num_learners=50, config=config)
        explored.append(run.interactions.action)
    fixed, careless = explored
    assert (fixed == careless)[fixed != 4].mean() > 0.9  # an explored action is the same under both


def test_epsilon_0_is_the_base_policy():
    base, mixed = (rollout(p, num_learners=50, config=SMALL) for p in (Fixed(), EpsilonGreedy(Fixed(), 0)))
    np.testing.assert_array_equal(base.interactions.action, mixed.interactions.action)
    np.testing.assert_array_equal(base.propensity, mixed.propensity)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan"), True, "0.2", None, np.float32(1.5), np.True_])
def test_epsilon_is_a_probability(epsilon):
    with pytest.raises(ValueError, match=r"the epsilon of epsilon-greedy must be a number in \[0, 1\]; got"):
        EpsilonGreedy(Uniform(), epsilon)


class Bare:
    name = "bare"

    def act(self, view, draws):
        return np.zeros(view.num_lanes, int), np.ones(view.num_lanes)


@pytest.mark.parametrize("base", [Bare(), "rules", Uniform])
def test_the_base_must_have_probabilities(base):
    shown = getattr(base, "name", base)
    with pytest.raises(
        TypeError, match=f"must be a policy with a method probabilities.*; got '{shown}'; add the method"
    ):
        EpsilonGreedy(base, 0.1)


class Easiest(Bare):
    """A deterministic policy with the method that the error suggests."""

    def act(self, view, draws):
        return np.where(view.active, view.question(view.asked.argmin(axis=1), "Easy"), -99), np.ones(view.num_lanes)

    def probabilities(self, view):
        return alsim.policies.one_hot(self.act(view, None)[0], view.num_actions)


def test_a_deterministic_policy_explores_with_the_suggested_method():
    with pytest.raises(TypeError) as caught:
        EpsilonGreedy(Bare(), 0.1)
    assert str(caught.value).endswith(
        "def probabilities(self, view): return alsim.policies.one_hot(self.act(view, None)[0], view.num_actions)"
    )
    run = rollout(EpsilonGreedy(Easiest(), 0.3), num_learners=20, config=SMALL)
    assert set(run.propensity) == {0.3 / ACTIONS, 0.3 / ACTIONS + 0.7}


def test_one_hot_has_one_row_per_action():
    assert alsim.policies.one_hot(np.array([1, 0, -99]), 2).tolist() == [[0, 1], [1, 0], [0, 0]]


def test_a_base_whose_two_methods_differ_is_refused():
    with pytest.raises(ValueError, match="the policy 'fixed' chose action 4 with probability 0.5, but .* returned 1.0"):
        rollout(EpsilonGreedy(Fixed(reported=0.5), 0.1), num_learners=2, config=SMALL)
    with pytest.raises(ValueError, match="probability 1.0, but its method probabilities returned 0.0; correct one"):
        rollout(EpsilonGreedy(Fixed(action=5), 0.1), num_learners=2, config=SMALL)
    with pytest.raises(ValueError, match=r"must have the shape \(2, 27\); got \(2, 9\)"):
        rollout(EpsilonGreedy(Fixed(shape=(2, 9)), 0.1), num_learners=2, config=SMALL)
    with pytest.raises(ValueError, match="the policy 'fixed' chose action 99 in lane 0"):
        rollout(EpsilonGreedy(Fixed(action=99), 0), num_learners=2, config=SMALL)


class Answers(Fixed):
    """Returns the arrays it is given, which are called with the view."""

    def __init__(self, decision=None, odds=None):
        super().__init__()
        self.decision, self.odds = decision, odds

    def act(self, view, draws):
        return super().act(view, draws) if self.decision is None else self.decision(view.num_lanes)

    def probabilities(self, view):
        odds = super().probabilities(view)
        return odds if self.odds is None else self.odds(odds)


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (lambda n: None, "must return a pair .*; got NoneType"),
        (lambda n: [np.full(n, 4), np.ones(n)], "must return a pair .*; got list"),
        (lambda n: (4, 1.0), r"must return 2 integer actions; got int64 of shape \(\)"),
        (lambda n: (np.full(n, 4.0), np.ones(n)), "must return 2 integer actions; got float64"),
        (lambda n: (np.full((n, 1), 4), np.ones(n)), r"must return 2 integer actions; got int64 of shape \(2, 1\)"),
        (lambda n: (np.full(n + 1, 4), np.ones(n + 1)), r"must return 2 integer actions; got int64 of shape \(3,\)"),
        (
            lambda n: (np.full(n, 4), np.ones((n, 1))),
            r"must return 2 float probabilities; got float64 of shape \(2, 1\)",
        ),
        (lambda n: (np.full(n, 4), 1.0), r"must return 2 float probabilities; got float64 of shape \(\)"),
        (lambda n: (np.full(n, 4), np.zeros(n)), "returned probability 0.0 for its action in lane 0"),
        (lambda n: (np.full(n, -1), np.ones(n)), "chose action -1 in lane 0"),
        (lambda n: (np.full(n, 2**64 - 1, np.uint64), np.ones(n)), f"chose action {2**64 - 1} in lane 0"),
    ],
)
def test_the_decision_of_the_base_is_checked_as_that_of_any_policy(decision, message):
    for policy in (Answers(decision), EpsilonGreedy(Answers(decision), 0.1)):
        with pytest.raises((ValueError, TypeError), match=f"^the policy 'fixed' {message}"):
            rollout(policy, num_learners=2, config=SMALL)


def raised(odds, lane, action, value):
    odds[lane, action] = value
    return odds


@pytest.mark.parametrize(
    ("odds", "message"),
    [
        (lambda odds: raised(odds, 1, 5, 0.5), "got the sum 1.5 and the minimum 0.0 in lane 1; correct its method"),
        (lambda odds: raised(odds, 0, 5, 1e-4), "got the sum 1.0001 and"),
        (lambda odds: raised(raised(odds, 0, 5, -0.5), 0, 6, 0.5), "got the sum 1.0 and the minimum -0.5 in lane 0"),
        (lambda odds: raised(odds, 0, 5, np.nan), "got the sum nan"),
    ],
)
def test_the_probabilities_of_the_base_are_a_distribution(odds, message):
    with pytest.raises(
        ValueError, match=f"^the probabilities of the policy 'fixed' must be at least 0 and sum to 1; {message}"
    ):
        rollout(EpsilonGreedy(Answers(odds=odds), 0.1), num_learners=2, config=SMALL)
    with pytest.raises(TypeError, match=r"must be numbers of the shape \(2, 27\); got 'words'"):
        rollout(EpsilonGreedy(Answers(odds=lambda odds: "words"), 0.1), num_learners=2, config=SMALL)


class Silent(Fixed):
    """Returns NaN for lanes whose episode has ended; the protocol leaves them undefined."""

    def act(self, view, draws):
        actions, propensities = super().act(view, draws)
        return actions, np.where(view.active, propensities, np.nan)

    def probabilities(self, view):
        self.ended = getattr(self, "ended", False) or not view.active.all()
        return np.where(view.active[:, np.newaxis], super().probabilities(view), np.nan)


class Undecided(Silent):
    """Returns matching numbers, and NaN only as propensities of lanes whose episode has ended."""

    def probabilities(self, view):
        super().probabilities(view)
        return Fixed.probabilities(self, view)


@pytest.mark.parametrize("base", [Silent, Undecided])
def test_lanes_whose_episode_has_ended_are_not_checked(base):
    run = rollout(EpsilonGreedy(base := base(), 0.3), num_learners=40, config=SMALL)
    assert base.ended
    np.testing.assert_array_equal(
        run.propensity, rollout(EpsilonGreedy(Fixed(), 0.3), num_learners=40, config=SMALL).propensity
    )


class Rounded(Uniform):
    """Uniform, with propensities in float32."""

    def act(self, view, draws):
        actions, propensities = super().act(view, draws)
        return actions, propensities.astype(np.float32)


class RoundedOdds(Uniform):
    """Uniform, with probabilities in float32, whose sum differs from 1."""

    def probabilities(self, view):
        return super().probabilities(view).astype(np.float32)


@pytest.mark.parametrize("base", [Rounded, RoundedOdds])
def test_a_base_may_compute_in_float32(base):
    run = rollout(EpsilonGreedy(base(), 0.3), num_learners=5, config=SMALL)
    np.testing.assert_allclose(run.propensity, 1 / ACTIONS, rtol=1e-6)


@pytest.mark.parametrize("epsilon", [np.float32(0.25), np.float64(0.25), np.float16(0.25)])
def test_numbers_of_numpy_are_an_epsilon(epsilon):
    assert EpsilonGreedy(Uniform(), epsilon).name == "epsilon-greedy:uniform:0.25"
    network = Network([(np.zeros((5, ACTIONS)), np.zeros(ACTIONS))])
    assert type(NetworkPolicy(network, acting="epsilon", epsilon=epsilon).epsilon) is float
    assert EpsilonGreedy(Uniform(), np.int8(1)).epsilon == 1


@pytest.mark.ci
def test_a_trained_network_explores_and_keeps_its_digest(tmp_path):
    random = np.random.default_rng(0)
    network = Network([(random.normal(size=(5, ACTIONS)), np.zeros(ACTIONS))])
    NetworkPolicy(network, name="ppo", acting="greedy").save(tmp_path / "run")
    dataset = alsim.generate_dataset(20, 1, f"epsilon-greedy:({tmp_path / 'run'}):0.25", config=SMALL)
    entry = dataset.manifest["policy"]
    nested = {"name": "ppo", "digest": make_policy(tmp_path / "run").digest}
    assert entry == {"name": "epsilon-greedy:ppo:0.25", "nested": [nested]}
    assert set(dataset.propensity) == {0.25 / ACTIONS, 0.25 / ACTIONS + 0.75}


def test_the_name_is_normalised():
    for name in ("epsilon-greedy:rules:0.2", "epsilon-greedy:(rules):.20", "epsilon-greedy: rules : 2e-1"):
        assert make_policy(name).name == "epsilon-greedy:rules:0.2"
    nested = make_policy("epsilon-greedy:((epsilon-greedy:rules:0.1)):1")
    assert nested.name == "epsilon-greedy:(epsilon-greedy:rules:0.1):1.0"
    assert make_policy(nested.name).name == nested.name


# ── compiled policies as a base ──────────────────────────────────────────────────────────────────


class VideoParameters(NamedTuple):
    unused: float = 0.0


@rule
def video_about_the_weakest(p, observation, inputs, words):
    return content_action(inputs, weakest(observation, inputs), 0), f64(1)


class Videos(RulePolicy):
    """A compiled rule without random words, and without a method `probabilities` of its own."""

    name = "videos"
    parameters = VideoParameters()
    choose = video_about_the_weakest
    reads = "mastery"


class SuggestedVideos(Videos):
    """The same with the method that the error of `epsilon-greedy` suggests."""

    def probabilities(self, view):
        return alsim.policies.one_hot(self.act(view, None)[0], view.num_actions)


class CoinParameters(NamedTuple):
    unused: float = 0.0


@rule
def one_of_two_actions(p, observation, inputs, words):
    return i64(words.w0 % 2), f64(0.5)


class Coin(RulePolicy):
    """A compiled rule that uses random words."""

    name = "coin"
    parameters = CoinParameters()
    choose = one_of_two_actions


@pytest.mark.interpreted
@pytest.mark.parametrize("base", [Videos(), SuggestedVideos()])
def test_a_compiled_policy_without_random_words_explores_without_further_methods(base):
    run = rollout(EpsilonGreedy(base, 0.3), num_learners=20, config=SMALL)
    assert set(run.propensity) == {0.3 / ACTIONS, 0.3 / ACTIONS + 0.7}
    plain = rollout(base, num_learners=20, config=SMALL)
    same = rollout(EpsilonGreedy(base, 0), num_learners=20, config=SMALL)
    np.testing.assert_array_equal(plain.interactions.action, same.interactions.action)


def test_a_compiled_policy_with_random_words_must_define_its_probabilities():
    message = "the rule of the policy 'coin' chose an action with probability 0.5 in lane 0.* give Coin a method"
    with pytest.raises(AlsimError, match=message):
        rollout(EpsilonGreedy(Coin(), 0.3), num_learners=2, config=SMALL)


# ── rounded sums of probabilities ────────────────────────────────────────────────────────────────


class SummedParameters(NamedTuple):
    unused: float = 0.0


@rule
def almost_certain(p, observation, inputs, words):
    return i64(4), f64(1) + f64(1e-9)


class Summed(RulePolicy):
    name = "summed"
    parameters = SummedParameters()
    choose = almost_certain


class TooLargeParameters(NamedTuple):
    unused: float = 0.0


@rule
def more_than_certain(p, observation, inputs, words):
    return i64(4), f64(1) + f64(2e-9)


class TooLarge(RulePolicy):
    name = "too-large"
    parameters = TooLargeParameters()
    choose = more_than_certain


@pytest.mark.interpreted
@pytest.mark.parametrize("policy", [Fixed(reported=1 + 1e-9), Summed()])
def test_a_probability_that_rounding_makes_larger_than_1_counts_as_1(policy):
    assert (rollout(policy, num_learners=3, config=SMALL).propensity == 1).all()


@pytest.mark.interpreted
@pytest.mark.parametrize("policy", [Fixed(reported=1 + 2e-9), Fixed(reported=np.nextafter(f32(1), f32(2))), TooLarge()])
def test_a_probability_above_the_tolerance_is_refused(policy):
    with pytest.raises(AlsimError, match=r"probabilities (must be )?in \(0, 1\]"):
        rollout(policy, num_learners=3, config=SMALL)
