"""Mixtures of policies: frequencies, exact propensities, memory of the bases, names, and invalid weights."""

import copy
import pickle

import numpy as np
import pytest
from scipy import stats

import alsim
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.policies import EpsilonGreedy, Mix, PolicyDraws, View, make_policy, memory, one_hot
from alsim.policies.nested import nested_policies
from alsim.rollouts.rollout import rollout

SMALL = Config.read({"num_los": 3, "max_episode_steps": 30, "termination": {"max_frustration": 0.6}})
MEMORY = "mix:round-robin=0.5,(epsilon-greedy:round-robin:0.2)=0.25,rules=0.25"


def view_of(rows, mask=None):
    rows = np.asarray(rows, np.float32)
    lanes = len(rows)
    return View(rows, "mastery", 3, np.ones(lanes, bool), np.zeros(lanes, np.float32), mask=mask)


def random_draws(lanes, seed):
    generator = np.random.default_rng(seed)
    blocks = {}

    def words(block):
        while block not in blocks:
            blocks[len(blocks)] = generator.integers(0, 2**32, (lanes, 4), dtype=np.uint32)
        return blocks[block]

    return PolicyDraws(words)


class Fixed:
    """Chooses one action; counts the interactions and remembers the propensities, for each lane."""

    def __init__(self, action, words=0):
        self.action, self.words, self.name = action, words, f"fixed {action}"

    def start(self, n):
        return {"count": np.zeros(n, np.int64), "propensity": np.zeros(n)}

    def act(self, view, state, draws):
        for _ in range(self.words):
            draws.words()
        return np.full(view.num_lanes, self.action), np.ones(view.num_lanes)

    def learn(self, state, transitions):
        state["count"] += transitions.active
        state["propensity"][:] = transitions.propensities

    def probabilities(self, view, state, draws=None):
        return one_hot(np.full(view.num_lanes, self.action), view.num_actions)


def test_each_base_acts_as_often_as_its_weight():
    """n = 100,000 lanes, seed 1, four actions, one of them of two bases; false alarm 1e-6."""
    n = 100_000
    policy = Mix([(Fixed(0), 0.5), (Fixed(1, 3), 0.2), (Fixed(2), 0.0), (Fixed(4), 0.05), (Fixed(1), 0.25)])
    view = view_of(np.zeros((n, 5)))
    actions, odds = policy.act(view, policy.start(n), random_draws(n, 1))
    expected = {0: 0.5, 1: 0.45, 4: 0.05}
    counts = np.bincount(actions, minlength=27)
    assert set(np.flatnonzero(counts)) == set(expected)  # a base of weight 0 never acts
    found = [counts[action] for action in expected]
    assert stats.chisquare(found, [n * p for p in expected.values()]).pvalue > 1e-6
    for action, p in expected.items():
        assert odds[actions == action] == pytest.approx(p, abs=1e-15)


def test_propensities_are_the_weighted_sum():
    """Against the probabilities of the authors' rules and 1/27, for each action."""
    rows = [[0.1, 0.5, 0.9, 0.0, 0.0], [0.9, 0.5, 0.9, 0.8, 0.0]]
    odds = make_policy("mix:rules=0.7,uniform=0.3").probabilities(view_of(rows))
    wanted = np.full((2, 27), 0.3 / 27)
    wanted[0, 0] += 0.7  # an Easy question about LO 0
    wanted[1, [9 + 6 + 2, 9 + 6 + 5]] += 0.35  # at high frustration, a text or a handout about LO 1
    np.testing.assert_allclose(odds, wanted, rtol=1e-14)
    np.testing.assert_allclose(odds.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.compiled  # half a minute in the interpreter
def test_importance_weighting_of_uniform_covers_its_value():
    """n = 40,000 learners, one interaction, seed 3; each mean within 5 standard errors: false alarm below 1e-6."""
    config = Config.read({"num_los": 3, "max_episode_steps": 1})
    uniform = rollout("uniform", num_learners=40_000, seed=3, config=config).interactions.reward
    run = rollout("mix:rules=0.6,uniform=0.4", num_learners=40_000, seed=4, config=config)
    weighted = run.interactions.reward * (1 / 27) / run.propensity
    error = np.hypot(weighted.std(), uniform.std()) / np.sqrt(40_000)
    assert abs(weighted.mean() - uniform.mean()) < 5 * error
    assert abs(run.interactions.reward.mean() - uniform.mean()) > 5 * error  # without weights, it does not


@pytest.mark.parametrize("name", ["mix:rules=0.7,uniform=0.3", MEMORY])
def test_a_learner_is_taught_the_same_alone(name):
    together = rollout(name, num_learners=9, seed=6, config=SMALL)
    alone = rollout(name, num_learners=1, first_learner=4, seed=6, config=SMALL)
    rows = together.interactions.episode == 4
    assert together.propensity[rows].tobytes() == alone.propensity.tobytes()
    for column in ("action", "reward"):
        assert getattr(together.interactions, column)[rows].tobytes() == getattr(alone.interactions, column).tobytes()


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["mix:rules=0.7,uniform=0.3", MEMORY, f"epsilon-greedy:({MEMORY}):0.1"])
def test_a_log_gives_the_propensities_again(name):
    log = alsim.generate_dataset(10, 2, policy=name, seed=4, config=SMALL)
    assert log.probabilities(make_policy(name)).tobytes() == log.propensity.tobytes()
    assert log.manifest["policy"]["name"] == name


COMPOSED = [
    "mastery-gated:0.45",  # parameters of the instance
    "mix:(mastery-gated:0.45)=0.5,round-robin=0.25,zpd=0.25",  # zpd is bound to the bank
    "mix:(mix:zpdes=0.5,bkt=0.5)=0.5,ucb1=0.5",
]


@pytest.mark.ci
@pytest.mark.heavy
@pytest.mark.parametrize("name", COMPOSED)
def test_a_copy_and_a_pickle_teach_the_same(name):
    policy = make_policy(name)
    runs = [
        rollout(twin, num_learners=12, seed=1, config=SMALL)
        for twin in (policy, copy.deepcopy(policy), pickle.loads(pickle.dumps(policy)))
    ]
    assert {run.policy for run in runs} == {name}
    assert len({run.interactions.action.tobytes() + run.propensity.tobytes() for run in runs}) == 1


@pytest.mark.ci
@pytest.mark.parametrize("name", COMPOSED)
def test_workers_give_the_same_bits(name, tmp_path):
    alone = alsim.generate_dataset(40, 1, policy=name, seed=2, config=SMALL)
    log = alsim.generate_dataset(40, 1, policy=name, seed=2, config=SMALL, out=tmp_path / "log", num_workers=2)
    assert log.action.tobytes() == alone.action.tobytes()
    assert log.propensity.tobytes() == alone.propensity.tobytes()
    assert log.probabilities(make_policy(name)).tobytes() == log.propensity.tobytes()


def test_bases_with_memory_learn_from_every_interaction():
    policy = Mix([(Fixed(3), 0.25), (make_policy("uniform"), 0.25), (Fixed(5), 0.5)])
    state, view = memory.start(policy, 40), view_of(np.zeros((40, 5)))
    assert isinstance(state, tuple)
    assert len(state) == 2  # uniform has no memory
    seen = []

    class Watch(Mix):
        def learn(self, state, transitions):
            after = super().learn(state, transitions)
            seen.append((after[0]["count"].copy(), after[1]["count"].copy(), after[0]["propensity"].copy()))
            return after

    watch = Watch([(Fixed(3), 0.25), (make_policy("uniform"), 0.25), (Fixed(5), 0.5)])
    run = rollout(watch, num_learners=6, seed=1, config=SMALL)
    x = run.interactions
    for t, (first, second, propensity) in enumerate(seen):
        assert np.array_equal(first, np.minimum(t + 1, x.length[:6]))
        assert np.array_equal(first, second)
        rows = np.flatnonzero(x.step == t + 1)
        assert np.array_equal(propensity[x.episode[rows]], run.propensity[rows])
    values = {3: 0.25 + 0.25 / 27, 5: 0.5 + 0.25 / 27}
    for action, p in zip(x.action.tolist(), run.propensity.tolist(), strict=True):
        assert p == pytest.approx(values.get(action, 0.25 / 27), rel=1e-12)
    odds = policy.probabilities(view, state)
    assert odds[:, 3] == pytest.approx(values[3], rel=1e-12)


def test_turns_of_a_base_equal_the_steps():
    """With memory of the turns, round-robin follows the steps even where another base acted."""
    run = rollout("mix:round-robin=0.5,video-weakest=0.5", num_learners=30, seed=2, config=SMALL)
    x, order = run.interactions, np.array([0, 3, 6, 1, 4, 7, 2, 5, 8])
    asked = x.action < 9
    assert 0.4 < asked.mean() < 0.6
    assert np.array_equal(x.action[asked], order[(x.step[asked] - 1) % 9])


def test_a_mask_restricts_the_bases():
    mask = np.zeros((4000, 27), bool)
    mask[:, [1, 4, 9]] = True
    view = view_of(np.tile([0.1, 0.5, 0.9, 0.0, 0.0], (4000, 1)), mask)
    policy = make_policy("mix:rules=0.4,uniform=0.6")
    actions, odds = policy.act(view, random_draws(4000, 5))
    assert set(actions) == {1, 4, 9}
    # The only action of `rules`, 0, is masked: it becomes uniform over the three allowed actions.
    assert odds == pytest.approx(1 / 3)
    assert policy.probabilities(view)[0, [0, 1, 4, 9]] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])


# ── names and objects ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("mix:rules=.70,uniform=0.3", "mix:rules=0.7,uniform=0.3"),
        ("mix:(rules=0.7, uniform=0.3)", "mix:rules=0.7,uniform=0.3"),
        ("mix:(rules)=1,uniform=0", "mix:rules=1.0,uniform=0.0"),
        ("mix:(epsilon-greedy:rules:.1)=0.5,uniform=0.5", "mix:(epsilon-greedy:rules:0.1)=0.5,uniform=0.5"),
        ("mix:(mix:rules=1)=0.5,weakest=0.5", "mix:(mix:rules=1.0)=0.5,weakest=0.5"),
        ("epsilon-greedy:(mix:rules=1):0.5", "epsilon-greedy:(mix:rules=1.0):0.5"),
    ],
)
def test_names_with_weights(name, normal):
    policy = make_policy(name)
    assert policy.name == normal
    assert make_policy(normal).name == normal


def test_a_dict_or_pairs_make_a_mixture():
    rules, uniform = make_policy("rules"), make_policy("uniform")
    policies = [
        Mix({rules: 0.7, uniform: 0.3}),
        Mix([(rules, 0.7), (uniform, 0.3)]),
        Mix(zip([rules, uniform], [0.7, 0.3], strict=True)),
    ]
    assert {policy.name for policy in policies} == {"mix:rules=0.7,uniform=0.3"}
    assert nested_policies(policies[0]) == [rules, uniform]
    assert policies[0].start is None
    assert Mix([(EpsilonGreedy(make_policy("round-robin"), 0.1), 1)]).start is not None
    assert (
        repr(policies[0])
        == "<Mix: <Rules: policy 'rules'> with weight 0.7, <Uniform: policy 'uniform'> with weight 0.3>"
    )


def test_weights_are_divided_by_their_sum():
    third = 0.3333333333
    policy = Mix([(make_policy(name), third) for name in ("uniform", "rules", "weakest")])
    assert policy.weights == pytest.approx((1 / 3,) * 3, rel=1e-15)
    with pytest.raises(AlsimError, match="must sum to 1"):
        Mix([(make_policy(name), 0.33333333) for name in ("uniform", "rules", "weakest")])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mix:rules=0.7,uniform=0.2",
            r"the weights of mix must sum to 1; got rules=0.7, uniform=0.2, which sum to 0.9; ",
        ),
        ("mix:rules=1.2,uniform=-0.2", r"must be numbers in \[0, 1\]; got 1.2 for 'rules'; "),
        ("mix:rules=nan,uniform=1", r"must be numbers in \[0, 1\]; got nan for 'rules'; "),
        ("mix:rules,uniform", "the weights of mix must be POLICY=WEIGHT, separated by commas; got 'rules'; write"),
        ("mix:rules=much", "separated by commas; got 'rules=much'"),
        ("mix:=1", "separated by commas; got '=1'"),
        ("mix:", "separated by commas; got ''"),
        ("mix", "the policy 'mix' takes 1 argument; got none; write mix:POLICY=WEIGHT,..."),
        ("mix:rule=1", "unknown policy 'rule'; did you mean 'rules'"),
        ("mix:(rules=1", "the parentheses in the name .* are not balanced"),
        ("mix:epsilon-greedy:rules:0.1=1", "with a nested name in parentheses"),
    ],
)
def test_invalid_weights_are_refused(name, message):
    with pytest.raises(AlsimError, match=message) as raised:
        make_policy(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("weights", [3, "rules", [1, 2], [("rules",)], None])
def test_objects_of_another_form_are_refused(weights):
    with pytest.raises(TypeError, match="the weights of mix must be a dict or pairs of policies and weights; got"):
        Mix(weights)


def test_bases_need_probabilities():
    class Silent:
        name = "silent"

        def act(self, view, draws):
            return draws.integers(27), np.ones(view.num_lanes)

    expected = r"each base of mix must be a policy with a method probabilities\(view\), as .*; got 'silent'"
    with pytest.raises(TypeError, match=expected):
        Mix({Silent(): 1})
    with pytest.raises(AlsimError, match="the weights of mix must sum to 1; got none"):
        Mix({})


@pytest.mark.parametrize("base", ["thompson:0.02:0.05:true", "epsilon-greedy:(ucb1:1.0:0.05:true):0.1"])
def test_bases_that_learn_across_learners_are_refused(base):
    with pytest.raises(
        TypeError, match="the bases of mix must not learn across learners; got .*, which learns in round"
    ):
        make_policy(f"mix:({base})=0.5,uniform=0.5")


def test_an_object_without_a_name_is_described():
    class Nameless:
        round_size = 3

    with pytest.raises(TypeError, match="the bases of mix must not learn across learners; got <.*Nameless object"):
        Mix([(Nameless(), 1)])


def test_a_base_whose_methods_differ_is_named():
    class Wrong(Fixed):
        def probabilities(self, view, state, draws=None):
            return np.full((view.num_lanes, view.num_actions), 1 / view.num_actions)

    with pytest.raises(AlsimError, match="the policy 'fixed 3' chose action 3 with probability 1.0, but its method"):
        rollout(Mix([(Wrong(3), 0.5), (make_policy("uniform"), 0.5)]), num_learners=2, config=SMALL)
