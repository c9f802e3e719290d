"""Policies that know a course: `bind` and its callers, and properties of all policies that read answers only."""

import numpy as np
import pytest
from scipy import stats
from teachers import draws_of, snapshot, view_of

import alsim
from alsim.bank.course import course_of
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.policies import EpsilonGreedy, make_policy, memory
from alsim.policies.binding import bound
from alsim.policies.sampling import draw, explored, sums
from alsim.rollouts.rollout import rollout

SETTINGS = {
    "num_los": 4,
    "max_episode_steps": 40,
    "curriculum": [[0, 1], [0, 2], [1, 2]],
    "metrics": {"blueprint": [0.5, 0.25, 0.25]},
    "bank": {"seed": 9},
}
CONFIG = Config.read(SETTINGS)
COURSE = course_of(sample_bank(CONFIG), CONFIG)
NAMES = ["zpd", "zpdes", "zpdes:0.5:0.1:mu", "cat", "cat:1:0.0"]


def bound_policy(name):
    return bound(make_policy(name), COURSE)


# ── the course ───────────────────────────────────────────────────────────────────────────────────


def test_a_course_has_the_questions_the_blueprint_and_the_curriculum():
    bank = sample_bank(CONFIG)
    assert COURSE.num_los == 4
    assert COURSE.blueprint == (0.5, 0.25, 0.25)
    assert COURSE.prerequisites == ((), (0,), (0, 1), ())
    for i in (0, 17, 79):
        question = bank.question(i)
        assert COURSE.learning_outcome[i] == question["learning_outcome"]
        assert ("Easy", "Medium", "Hard")[COURSE.difficulty[i]] == question["difficulty"]
        assert [COURSE.a[i], COURSE.b[i], COURSE.c[i]] == [question[f"irt_{x}"] for x in "abc"]
    assert course_of(bank, Config.read({"num_los": 4})).prerequisites == ()


class Knowing:
    """Keeps the courses that it was bound to, and chooses at random."""

    name = "knowing"

    def __init__(self, course=None):
        self.course, self.seen = course, []

    def bind(self, course):
        self.seen.append(course)
        return Knowing(course)

    def act(self, view, draws):
        assert self.course.num_los == view.num_los
        return draws.integers(view.num_actions), np.full(view.num_lanes, 1 / view.num_actions)

    def probabilities(self, view):
        assert self.course.num_los == view.num_los
        return np.full((view.num_lanes, view.num_actions), 1 / view.num_actions)


class Wrapper:
    name = "wrapper"

    def __init__(self, *policies):
        self.parts, self.named, self.factor = list(policies), {"first": policies[0]}, 2.0

    def act(self, view, draws):
        return self.parts[0].act(view, draws)


def test_rollouts_and_datasets_bind_policies_and_leave_the_original_as_it_is():
    policy = Knowing()
    for used in (policy, EpsilonGreedy(policy, 0.5), Wrapper(policy, make_policy("rules"))):
        rollout(used, num_learners=3, config=CONFIG)
    log = alsim.generate_dataset(4, 1, policy=policy, config=CONFIG)
    log.probabilities(policy)
    assert policy.course is None
    assert len(policy.seen) == 6  # the wrapper has it twice
    for course in policy.seen:
        assert all(np.array_equal(*pair) for pair in zip(course[1:6], COURSE[1:6], strict=True))
        assert (course.num_los, *course[6:8]) == (4, (0.5, 0.25, 0.25), ((), (0,), (0, 1), ()))


def test_a_copy_is_made_only_where_a_policy_can_be_bound():
    rules, policy = make_policy("epsilon-greedy:rules:0.1"), Wrapper(Knowing())
    assert bound(rules, COURSE) is rules
    twin = bound(policy, COURSE)
    assert twin is not policy and twin.factor == 2.0
    assert twin.parts[0].course is twin.named["first"].course is COURSE
    assert policy.parts[0].course is None
    policy.parts.append(policy)  # a policy may refer to itself
    assert bound(policy, COURSE).parts[0].course is COURSE


def test_bind_must_return_a_policy():
    class Forgetful(Knowing):
        def bind(self, course):
            self.course = course

    with pytest.raises(TypeError, match="bind of the policy 'knowing' must return a policy; got None; return a copy"):
        rollout(Forgetful(), num_learners=1, config=CONFIG)


@pytest.mark.parametrize("name", ["zpd", "zpdes", "cat"])
def test_a_view_of_another_course_is_refused(name):
    policy = bound_policy(name)
    state = memory.start(policy, 2)
    message = f"the policy '{name}' is bound to 4 outcomes, but the view has 5; call policy.bind with the course of"
    with pytest.raises(AlsimError, match=message):
        policy.probabilities(view_of(2, 5), state)
    with pytest.raises(AlsimError, match=message):
        policy.act(view_of(2, 5), state, draws_of(np.zeros((2, 4))))


@pytest.mark.parametrize("name", ["zpd", "zpdes"])
def test_without_a_course_there_is_memory_for_thirty_outcomes(name):
    policy = make_policy(name)
    assert policy.probabilities(view_of(1, 30), memory.start(policy, 1)).shape == (1, 270)
    with pytest.raises(AlsimError, match=f"the policy '{name}' has memory for 30 outcomes, but the view has 31; call"):
        policy.probabilities(view_of(1, 31), memory.start(policy, 1))


def test_the_curriculum_keeps_later_outcomes_out_of_the_zone():
    policy = bound_policy("zpdes:0.75:0.0")
    odds = policy.probabilities(view_of(1, 4), memory.start(policy, 1))[0]
    assert np.flatnonzero(odds).tolist() == [0, 9]  # Easy questions of the LOs 0 and 3


# ── properties of the policies ───────────────────────────────────────────────────────────────────


@pytest.mark.heavy
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_lanes_are_the_same_in_any_batch_and_do_not_depend_on_ended_ones(name, masked):
    """Actions, propensities and probabilities, bit for bit: together, alone, in another order, and as lanes end."""
    options = {"masked": masked, "seed": 4}
    together = snapshot(bound_policy(name), 4, range(9), 25, **options)
    reverse = snapshot(bound_policy(name), 4, range(9)[::-1], 25, **options)
    ending = snapshot(bound_policy(name), 4, range(9), 25, ends={0: 3, 4: 10, 7: 1}, **options)
    for kind, column in enumerate(together):
        assert column.tobytes() == np.ascontiguousarray(reverse[kind][:, ::-1]).tobytes()
        for lane in (1, 8):
            alone = snapshot(bound_policy(name), 4, [lane], 25, **options)
            assert np.ascontiguousarray(column[:, lane]).tobytes() == np.ascontiguousarray(alone[kind][:, 0]).tobytes()
            assert column[:, lane].tobytes() == ending[kind][:, lane].tobytes()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_probabilities_sum_to_1_and_respect_the_mask(name, masked):
    policy = bound_policy(name)
    masks = np.random.default_rng([4, 0]).random(36) < 0.3 if masked else None
    for lanes in (1, 6):
        _, propensities, odds = snapshot(policy, 4, range(lanes), 30, masked=masked)
        np.testing.assert_allclose(odds.sum(axis=2), 1, rtol=0, atol=1e-12)
        assert (odds >= 0).all() and (propensities > 0).all()
    mask = np.zeros((3, 36), bool)
    mask[0, 5], mask[1, 30], mask[2] = True, True, masks if masked else True
    mask[2, -1] = True
    odds = policy.probabilities(view_of(3, 4, mask=mask), memory.start(policy, 3))
    assert (odds[~mask] == 0).all()
    assert odds[0, 5] == odds[1, 30] == 1
    assert policy.floor == 0 or (odds[mask] > 0).all()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_frequencies_match_the_probabilities(name, masked):
    """n = 40,000 lanes in one state after 20 steps, seed 6; chi-square over 36 actions, false alarm 1e-6."""
    from teachers import Play

    policy, n = bound_policy(name), 40_000
    *_, last = Play(policy, 4, [3], 20, masked=masked, seed=6)
    state = memory.map_arrays(lambda array: np.repeat(array, n, axis=0), last[2])
    mask = np.repeat(last[1].mask, n, axis=0) if masked else None
    words = np.random.default_rng(6).integers(0, 2**32, (n, 4), dtype=np.uint32)
    actions, propensities = policy.act(view_of(n, 4, mask=mask), state, draws_of(words))
    odds = policy.probabilities(last[1], last[2])[0]
    assert np.array_equal(propensities, odds[actions])
    possible = np.flatnonzero(odds)
    counts = np.bincount(actions, minlength=36)
    assert counts[possible].sum() == n
    if len(possible) > 1:
        expected = n * odds[possible] / odds[possible].sum()
        assert stats.chisquare(counts[possible], expected).pvalue > 1e-6


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_a_rollout_and_its_log_give_the_same_propensities(name):
    for used in (name, f"epsilon-greedy:({name}):0.2"):
        log = alsim.generate_dataset(10, 2, policy=used, config=CONFIG, seed=2)
        assert log.probabilities(make_policy(used)).tobytes() == log.propensity.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_neither_act_nor_probabilities_change_the_state(name):
    from teachers import Play

    policy = bound_policy(name)
    for _, view, state, _, _, _ in Play(policy, 4, range(3), 12):
        before = {key: array.copy() for key, array in memory.arrays_of(state)}
        policy.probabilities(view, state)
        policy.act(view, state, draws_of(np.full((3, 4), 2**31)))
        assert all(np.array_equal(array, before[key]) for key, array in memory.arrays_of(state))


# ── draws ────────────────────────────────────────────────────────────────────────────────────────


def test_draws_never_choose_an_action_of_probability_0():
    odds = np.array([[0.0, 0.25, 0.0, 0.75, 0.0]])
    tiny = 0.5 / 2**32
    for uniform, action in ((tiny, 1), (0.25 - tiny, 1), (0.25 + tiny, 3), (1 - tiny, 3)):
        found, propensity = draw(odds, np.array([uniform]))
        assert (found[0], propensity[0]) == (action, odds[0, action])


def test_exploration_is_uniform_over_allowed_actions():
    odds, allowed = np.array([[0.5, 0.5, 0, 0], [0, 0, 0, 0]]), np.array([[True, True, True, False]] * 2)
    np.testing.assert_allclose(explored(odds, allowed, 0.3), [[0.45, 0.45, 0.1, 0], [1 / 3, 1 / 3, 1 / 3, 0]])
    np.testing.assert_allclose(explored(odds, None, 0.2), [[0.45, 0.45, 0.05, 0.05], [0.25] * 4])


def test_sums_are_those_of_a_loop():
    values = np.random.default_rng(0).random((50, 300)) ** 9
    for row, found in zip(values, sums(values), strict=True):
        total = 0.0
        for value in row.tolist():
            total += value
        assert found == total
