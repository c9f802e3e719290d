"""Bandit policies: exploration, propensities, rewards, rounds, and invalid arguments."""

import pickle

import numpy as np
import pytest
from scipy import stats

import alsim
from alsim.errors import AlsimError
from alsim.policies import memory
from alsim.policies.exp3 import Exp3
from alsim.policies.igw import InverseGap
from alsim.policies.linucb import LinUCB
from alsim.policies.softmax import Softmax
from alsim.policies.thompson import Thompson
from alsim.policies.ucb1 import UCB1

SMALL = {"num_los": 3, "max_episode_steps": 15}
NAMES = ["thompson", "lints", "ucb1", "linucb", "softmax", "igw", "exp3"]
INTEGRATED = [pytest.param(name, marks=pytest.mark.compiled) for name in NAMES[:2]]
"""The policies whose probabilities are integrals, which take seconds in the interpreter."""
FEW = 12 if alsim.jit.compile.COMPILED else 4


class Watched:
    """A policy, and the views and states with which it acted."""

    name = "watched"

    def __init__(self, policy):
        self.policy, self.calls = policy, []

    def start(self, n):
        return self.policy.start(n)

    def act(self, view, state, draws):
        odds = self.policy.probabilities(view, state)
        self.calls.append((odds, view.active.copy(), memory.map_arrays(np.copy, state)))
        return self.policy.act(view, state, draws)

    def learn(self, state, transitions):
        return self.policy.learn(state, transitions)


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_every_action_has_a_chance_and_rows_sum_to_one(name):
    watched = Watched(alsim.make_policy(name))
    run = alsim.rollout(watched, num_learners=FEW, seed=1, config=SMALL)
    for odds, active, _ in watched.calls:
        assert np.abs(odds[active].sum(axis=1) - 1).max() < 1e-12
        assert odds[active].min() >= 0.05 / 27 * (1 - 1e-12)
    step, episode = run.interactions.step, run.interactions.episode
    expected = [watched.calls[s - 1][0][e, a] for s, e, a in zip(step, episode, run.interactions.action, strict=True)]
    assert run.propensity.tobytes() == np.array(expected).tobytes()


@pytest.mark.ci
@pytest.mark.parametrize("name", [*INTEGRATED, *NAMES[2:]])
def test_learners_do_not_depend_on_the_batch_and_logs_give_the_propensities_again(name):
    together = alsim.rollout(name, num_learners=FEW, seed=1, config=SMALL)
    alone = alsim.rollout(name, num_learners=1, first_learner=FEW - 1, seed=1, config=SMALL)
    rows = together.interactions.episode == FEW - 1
    assert together.propensity[rows].tobytes() == alone.propensity.tobytes()
    assert np.array_equal(together.interactions.action[rows], alone.interactions.action)
    for policy in (name, f"epsilon-greedy:{name}:0.3"):
        log = alsim.generate_dataset(FEW // 2, 2, policy=policy, seed=4, config=SMALL)
        assert log.probabilities(policy).tobytes() == log.propensity.tobytes()


@pytest.mark.compiled
@pytest.mark.parametrize("name", NAMES)
def test_frequencies_match_after_learning(name):
    """20,000 draws in one learned state, seed 3; chi-square over the actions, false alarm 1e-6."""
    watched = Watched(alsim.make_policy(name))
    alsim.rollout(watched, num_learners=3, seed=1, config=SMALL)
    _, _, state = watched.calls[10]
    n, random = 20_000, np.random.default_rng(3)
    view = alsim.policies.View(
        np.tile(np.float32([0.4, 0.2, 0.6, 0.3, 0.1]), (1, 1)), "mastery", 3, np.ones(1, bool), np.zeros(1, np.float32)
    )
    odds = alsim.make_policy(name).probabilities(view, memory.lanes_of(state, slice(1)))[0]
    variates = random.random(n)
    drawn = np.minimum(np.searchsorted(np.cumsum(odds), variates, side="right"), 26)
    words = np.zeros((1, 4), np.uint32)
    counts = np.zeros(27)
    for variate in variates[:500]:  # act inverts the cumulative distribution of `probabilities`
        words[0, 0] = np.uint32(variate * 2**32)
        action, chance = alsim.make_policy(name).act(
            view, memory.lanes_of(state, slice(1)), alsim.policies.PolicyDraws(lambda block: words)
        )
        counts[action[0]] += 1
        assert chance[0] == odds[action[0]]
    assert np.array_equal(np.bincount(drawn[:500], minlength=27), counts)
    assert stats.chisquare(np.bincount(drawn, minlength=27), odds * n).pvalue > 1e-6


def rewards_of(run, learner, threshold=None):
    """Return (arm, reward) of each content of the weakest LO of a learner, from the log."""
    x, found = run.interactions, []
    rows = np.flatnonzero(x.episode == learner)
    for k, row in enumerate(rows):
        before = run.obs[row, :3].astype(float)
        after = (run.obs[rows[k + 1], :3] if k + 1 < len(rows) else run.final_obs[learner, :3]).astype(float)
        lo, action = int(before.argmin()), int(x.action[row])
        if action >= 9 and (action - 9) // 6 == lo:
            gain = max(after[lo] - before[lo], 0) / (1 - before[lo])
            found.append(((action - 9) % 6, gain))
    return found


@pytest.mark.heavy
def test_thompson_counts_gains_above_the_threshold():
    watched = Watched(Thompson(threshold=0.08))
    run = alsim.rollout(watched, num_learners=FEW, seed=1, config=SMALL)
    state = watched.calls[-1][2]
    last = len(watched.calls)
    for learner in range(FEW):
        x = run.interactions
        assert x.length[learner] == last  # no episode ends early, so each learned from all interactions but the last
        expected = np.ones((2, 6))
        pulls = rewards_of(run, learner)
        rows = np.flatnonzero(x.episode == learner)
        final = x.action[rows[-1]]
        weakest = int(run.obs[rows[-1], :3].argmin())
        pulls = pulls[:-1] if final >= 9 and (final - 9) // 6 == weakest else pulls
        for arm, gain in pulls:
            expected[0 if gain > 0.08 else 1, arm] += 1
        assert state.alpha[learner].tolist() == expected[0].tolist()
        assert state.beta[learner].tolist() == expected[1].tolist()


@pytest.mark.heavy
@pytest.mark.parametrize("shared", [False, True])
def test_thompson_with_delayed_successes_equals_a_loop(shared):
    """Success: the LO is mastered within three interactions, the content itself included."""
    within, mastered = 3, 0.45
    policy = Thompson(within=within, mastered=mastered, shared=shared)
    policy.round_size = FEW if shared else None
    kept = []
    original = policy.learn
    policy.learn = lambda state, transitions: (original(state, transitions), kept.append(state))[0]
    run = alsim.rollout(policy, num_learners=FEW, seed=2, config=SMALL)
    alpha, beta = np.ones((FEW, 6)), np.ones((FEW, 6))
    x = run.interactions
    for learner in range(FEW):
        rows = np.flatnonzero(x.episode == learner)
        after = [run.obs[r, :3] for r in rows[1:]] + [run.final_obs[learner, :3]]
        for k, row in enumerate(rows):
            lo, action = int(run.obs[row, :3].argmin()), int(x.action[row])
            if action < 9 or (action - 9) // 6 != lo:
                continue
            success = any(after[t][lo] >= np.float32(mastered) for t in range(k, min(k + within, len(rows))))
            (alpha if success else beta)[learner, (action - 9) % 6] += 1
    assert (alpha > 1).any()
    state = kept[-1]
    if shared:
        assert state.alpha[0].tolist() == (1 + (alpha - 1).sum(axis=0)).tolist()
        assert state.beta[0].tolist() == (1 + (beta - 1).sum(axis=0)).tolist()
    else:
        assert state.alpha.tolist() == alpha.tolist()
        assert state.beta.tolist() == beta.tolist()


@pytest.mark.parametrize("kind", [UCB1, Softmax, InverseGap])
def test_mean_rewards_equal_those_of_the_log(kind):
    watched = Watched(kind(floor=0.5))
    run = alsim.rollout(watched, num_learners=FEW, seed=1, config=SMALL)
    x, state = run.interactions, watched.calls[-1][2]
    names = dict(memory.arrays_of(state))
    for learner in range(FEW):
        pulls = rewards_of(run, learner)
        rows = np.flatnonzero(x.episode == learner)
        final, weakest = x.action[rows[-1]], int(run.obs[rows[-1], :3].argmin())
        pulls = pulls[:-1] if final >= 9 and (final - 9) // 6 == weakest else pulls
        counts = np.bincount([arm for arm, _ in pulls], minlength=6)
        sums = np.zeros(6)
        for arm, gain in pulls:
            sums[arm] += min(gain / 0.25, 1)
        found = [array[learner] for array in names.values() if array.ndim == 2]
        assert any(np.array_equal(array, counts) for array in found)
        means = sums / np.maximum(counts, 1)
        assert any(np.allclose(array, sums, atol=1e-6) or np.allclose(array, means, atol=1e-6) for array in found)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["thompson:0.1:0.05:true", "linucb:1.0:0.05:true", "exp3:0.1:0.05:true"])
def test_shared_policies_learn_in_rounds(name):
    policy = alsim.make_policy(name)
    assert policy.round_size == 256
    policy.round_size = 4
    run = alsim.rollout(policy, num_learners=FEW + 2, seed=1, config=SMALL)
    assert all(len(array) == 1 for _, array in memory.arrays_of(run.policy_state))
    first = run.interactions.episode < 4
    frozen = alsim.rollout(policy, num_learners=4, seed=1, config=SMALL)
    assert run.propensity[first].tobytes() == frozen.propensity.tobytes()
    log = alsim.generate_dataset(FEW + 2, 1, policy=policy, seed=1, config=SMALL)
    assert log.propensity.tobytes() == run.propensity.tobytes() == log.probabilities(policy).tobytes()


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_states_and_policies_can_be_pickled(name):
    policy = pickle.loads(pickle.dumps(alsim.make_policy(name)))
    state = pickle.loads(pickle.dumps(policy.start(3)))
    assert {array.shape[0] for _, array in memory.arrays_of(state)} == {3}
    one, other = (alsim.rollout(p, num_learners=2, seed=1, config=SMALL) for p in (policy, name))
    assert one.propensity.tobytes() == other.propensity.tobytes()


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_masked_arms_are_never_shown(name):
    allowed = np.ones(27, bool)
    allowed[9::6] = False  # no videos
    allowed[:5] = False
    run = alsim.rollout(name, num_learners=FEW, seed=1, config=SMALL, action_mask=allowed)
    assert allowed[run.interactions.action].all()
    assert run.propensity.min() >= 0.05 / allowed.sum() * (1 - 1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UCB1(floor=1.5), r"the floor of ucb1 must be a number in \[0, 1\]; got 1.5"),
        (lambda: UCB1(alpha=0), "the alpha of ucb1 must be a positive number; got 0"),
        (lambda: LinUCB(alpha=float("nan")), "the alpha of linucb must be a positive number; got nan"),
        (lambda: Exp3(gamma=0), r"the gamma of exp3 must be a number in \(0, 1\]; got 0"),
        (lambda: Thompson(threshold=-1), r"the threshold of thompson must be a number in \[0, 1\]; got -1"),
        (lambda: Thompson(within=0), "the parameter within of thompson must be an integer from 1 to 1000; got 0"),
        (lambda: Softmax(shared=2), "the parameter shared of softmax must be True or False; got 2"),
        (lambda: Softmax(temperature=1e-310), "the temperature of softmax must be from 1e-100 to 1e.100; got 1e-310"),
        (lambda: UCB1(alpha=10**400), "the alpha of ucb1 must be from 1e-100 to 1e.100; got 1000"),
        (
            lambda: alsim.rollout("igw", num_learners=2, observation="responses"),
            "the policy 'igw' needs observation='mastery'; got 'responses'; pass",
        ),
    ],
)
def test_invalid_arguments_are_refused(make, message):
    with pytest.raises(AlsimError, match=message):
        make()
