"""Policies: their view, their checked return values, and the two built-in ones."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import alsim
from alsim import generate_dataset, rule
from alsim.config import Config
from alsim.jit.compile import COMPILED
from alsim.policies import (
    POLICIES,
    Policy,
    PolicyDraws,
    PolicyWithProbabilities,
    RulePolicy,
    View,
    is_rule,
    make_policy,
    memory,
    register_policy,
)
from alsim.policies.compiled import PolicyInput, content_action, policy_fingerprint, question_action
from alsim.policies.rules import Rules, Thresholds
from alsim.rollouts import collector
from alsim.rollouts.rollout import rollout
from alsim.types import MODALITIES, f64, i64

SMALL = Config.read({"num_los": 3, "max_episode_steps": 20})
ELO = Path(__file__).with_name("elo-30.npz")
"""Student model of 30 outcomes, as `EloModel(Items.of_cells(30)).save(...)` wrote it."""
ENGINE = Path(__file__).with_name("engine-3")
"""Directory of an engine for the bank with three outcomes and one question per cell, `write_engine(..., bank)`."""
WITH_ARGUMENTS = {
    "epsilon-greedy": [
        "epsilon-greedy:rules:0.2",
        "epsilon-greedy:uniform:0.5",
        "epsilon-greedy:(epsilon-greedy:rules:0.1):0.2",
        "epsilon-greedy:rules:1.0",
    ],
    "mix": [
        "mix:rules=0.7,uniform=0.3",
        "mix:(epsilon-greedy:round-robin:0.5)=0.5,rules=0.5",
    ],
    "mastery-gated": ["mastery-gated", "mastery-gated:0.45"],
    "student": [f"student:{ELO}"],
    "engine": [f"engine:{ENGINE}"],
}
"""Complete names of the registered policies that take arguments."""
NAMES = [name for registered in sorted(POLICIES) for name in WITH_ARGUMENTS.get(registered, [registered])]
VIDEO, PPT, TEXT, HANDOUT = 0, 1, 2, 5  # S2.3's order


class KnownGains:
    """A truth under which every action gains less than the one before it."""

    def gains(self, actions, samples):
        return -actions.sum(axis=2).astype(float)


def view_of(observation, last_seconds=0.0, num_los=None):
    """Return a view of N lanes with observations of clause S8.1."""
    rows = np.atleast_2d(np.asarray(observation, np.float32))
    return View(
        observation=rows,
        kind="mastery",
        num_los=rows.shape[1] - 2 if num_los is None else num_los,
        active=np.ones(len(rows), np.bool_),
        last_seconds=np.broadcast_to(np.asarray(last_seconds, np.float32), (len(rows),)),
        truth=KnownGains(),
    )


def draws_of(words):
    """Return draws whose blocks all hold the same words, (N, 4)."""
    return PolicyDraws(lambda block: np.asarray(words, np.uint32))


def decide(policy, view, draws):
    """Return actions and propensities at the start of an episode, of a policy with or without memory."""
    return memory.act(policy, view, memory.start(policy, view.num_lanes), draws)


def random_draws(lanes, seed=0):
    """Return draws from a NumPy generator, independent of the random numbers of the package."""
    generator = np.random.default_rng(seed)
    return PolicyDraws(lambda block: generator.integers(0, 2**32, (lanes, 4), dtype=np.uint32))


# ── the rule-based policy ───────────────────────────────────────────────────────────────────────


def rules(mastery, frustration, last_seconds, word):
    """Return the action of the authors' rules for one learner, and its probability.

    Observations are float32, so the thresholds are too: mastery of 0.4 is not below 0.4.
    """
    f32 = np.float32
    lo = min(range(len(mastery)), key=lambda k: (mastery[k], k))
    if frustration >= f32(0.7) or last_seconds >= 60:
        choices = (HANDOUT, TEXT) if frustration > f32(0.6) else (PPT, VIDEO)
        return 3 * len(mastery) + 6 * lo + choices[int(word >= 2**31)], 0.5
    if mastery[lo] < f32(0.4):
        return 3 * lo, 1.0
    return 3 * lo + (1 if mastery[lo] < f32(0.7) else 2), 1.0


def around(threshold):
    """Return a threshold and its neighbours in float32."""
    x = np.float32(threshold)
    return [np.nextafter(x, np.float32(0)), x, np.nextafter(x, np.float32(1))]


MASTERIES = [np.float32(0), *around(0.4), *around(0.7), np.float32(1)]
FRUSTRATIONS = [np.float32(0), *around(0.6), *around(0.7), np.float32(0.95)]
SECONDS = [np.float32(0), np.float32(5), np.nextafter(np.float32(60), np.float32(0)), np.float32(60), np.float32(120)]


def assert_rules(rows, seconds, words):
    actions, odds = make_policy("rules").act(view_of(rows, seconds), draws_of(words))
    wanted = [
        rules(row[:-2], row[-2], s, int(w[0]))
        for row, s, w in zip(np.asarray(rows, np.float32), seconds, words, strict=True)
    ]
    assert actions.tolist() == [action for action, _ in wanted]
    assert odds.tolist() == [p for _, p in wanted]


def test_rules_at_every_threshold_and_tie():
    cases = list(product(MASTERIES, MASTERIES, FRUSTRATIONS, SECONDS, (0, 2**31 - 1, 2**31, 2**32 - 1)))
    rows = [(a, b, frustration, 0.5) for a, b, frustration, _, _ in cases]
    assert_rules(rows, np.array([c[3] for c in cases]), np.array([[c[4], 0, 0, 0] for c in cases], np.uint32))


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_rules_over_random_views(num_los, seed):
    generator = np.random.default_rng(seed)
    rows = generator.random((40, num_los + 2), np.float32)
    rows[::3, :num_los] = np.round(rows[::3, :num_los], 1)  # with ties
    seconds = generator.choice(np.float32([5, 30, 59.99, 60, 90]), 40)
    assert_rules(rows, seconds, generator.integers(0, 2**32, (40, 4), dtype=np.uint32))


def test_rules_chooses_the_difficulty_by_mastery():
    for lowest, level in ((0.1, 0), (0.5, 1), (0.75, 2)):
        assert make_policy("rules").act(view_of([0.9, lowest, 0.8, 0, 0]), draws_of([[0] * 4]))[0].tolist() == [
            3 + level
        ]


def test_rules_teaches_the_first_of_equals():
    assert make_policy("rules").act(view_of([0.9, 0.3, 0.3, 0, 0]), draws_of([[0] * 4]))[0].tolist() == [3]


def test_rules_needs_the_mastery_observation():
    with pytest.raises(ValueError, match="the policy 'rules' needs observation='mastery'; got 'responses'"):
        rollout("rules", num_learners=1, config=SMALL, observation="responses")


def test_rules_in_a_rollout_equals_plain_python():
    run = rollout("rules", num_learners=8, config=Config.read({"num_los": 3, "max_episode_steps": 40}))
    x, last = run.interactions, 0.0
    for row in range(len(x.action)):
        last = 0.0 if x.step[row] == 1 else last
        chosen = [rules(run.obs[row, :-2], run.obs[row, -2], last, word) for word in (0, 2**31)]
        assert (x.action[row], run.propensity[row]) in chosen
        last = last if np.isnan(x.response_time[row]) else x.response_time[row]


def test_rules_flaw_at_high_frustration_it_shows_only_contents_that_raise_frustration():
    hard = {
        "num_los": 10,
        "irt": {"response_time_std": 0, "difficulty_ranges": {k: [9, 9] for k in ("easy", "medium", "hard")}},
    }
    run = rollout("rules", num_learners=6, config=hard)
    x = run.interactions
    before = run.obs[:, -2]
    frustrated = before >= np.float32(0.7)
    modality = (x.action - 30) % 6
    assert frustrated.sum() > 10
    assert (x.action[frustrated] >= 30).all()
    assert set(modality[frustrated].tolist()) == {TEXT, HANDOUT}
    assert (x.frustration[frustrated] > before[frustrated]).all()
    assert set(run.reason.tolist()) == {3}  # frustration never falls again


def test_rules_flaw_after_one_slow_answer_it_shows_only_content():
    slow = {"num_los": 3, "max_episode_steps": 12, "irt": {"response_time_mean": 60, "response_time_std": 0}}
    x = rollout("rules", num_learners=5, config=slow).interactions
    assert (x.action[x.step == 1] < 9).all()
    assert (x.action[x.step > 1] >= 9).all()
    assert set(((x.action[x.step > 1] - 9) % 6).tolist()) == {VIDEO, PPT}
    assert (x.length == 12).all()


def test_rules_still_asks_after_59_seconds():
    config = {"num_los": 3, "max_episode_steps": 5, "irt": {"response_time_mean": 59, "response_time_std": 0}}
    x = rollout("rules", num_learners=5, config=config).interactions
    assert (x.action < 9).all()


# ── the uniform policy ───────────────────────────────────────────────────────────────────────────


def chi_square(actions, num_actions):
    return stats.chisquare(np.bincount(actions, minlength=num_actions)).pvalue


def test_uniform_frequencies():
    """n = 100,000 actions of 270; false alarm 1e-6."""
    actions, odds = make_policy("uniform").act(view_of(np.zeros((100_000, 32))), random_draws(100_000))
    assert (odds == 1 / 270).all()
    assert chi_square(actions, 270) > 1e-6


@pytest.mark.compiled
def test_uniform_frequencies_in_rollouts():
    """With the random numbers of the package, n = about 70,000; false alarm 1e-6."""
    run = rollout("uniform", num_learners=600, keep_observations=False)
    assert chi_square(run.interactions.action, 270) > 1e-6
    assert (run.propensity == 1 / 270).all()


# ── contracts of every registered policy ─────────────────────────────────────────────────────────

VIEWS = [
    # mastery of three LOs, frustration, response time; seconds of the last question
    ([0.1, 0.5, 0.9, 0.0, 0.0], 0.0),
    ([0.5, 0.5, 0.9, 0.3, 0.2], 30.0),
    ([0.8, 0.9, 0.75, 0.3, 0.2], 30.0),
    ([0.1, 0.5, 0.9, 0.8, 0.2], 30.0),
    ([0.1, 0.5, 0.9, 0.1, 0.6], 72.0),
]


@pytest.mark.compiled  # many lanes
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("row", "seconds"),
    [pytest.param(*view, marks=() if view in (VIEWS[0], VIEWS[3]) else pytest.mark.ci) for view in VIEWS],
)
def test_propensities_sum_to_1_and_match_the_frequencies(name, row, seconds):
    """n = 20,000 lanes with equal observations; false alarm 1e-6 per action."""
    n = 20_000
    actions, odds = decide(make_policy(name), view_of([row] * n, seconds), random_draws(n))
    chosen = np.unique(actions)
    p = np.array([np.unique(odds[actions == action]).item() for action in chosen])  # one for each action
    assert p.sum() == pytest.approx(1)
    for action, probability in zip(chosen, p, strict=True):
        count = np.count_nonzero(actions == action)
        assert stats.binomtest(count, n, min(1.0, probability)).pvalue > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_policies_satisfy_the_protocol(name):
    policy = make_policy(name)
    assert isinstance(policy, Policy)
    assert policy.name == name
    assert make_policy(policy) is policy
    actions, odds = decide(policy, view_of([VIEWS[0][0]] * 4), random_draws(4))
    assert actions.shape == odds.shape == (4,)
    assert actions.dtype.kind == "i"
    assert ((actions >= 0) & (actions < 27)).all()
    assert ((odds > 0) & (odds <= 1)).all()


@pytest.mark.ci
@pytest.mark.compiled  # many lanes
@pytest.mark.parametrize("name", NAMES)
def test_the_probabilities_of_all_actions_are_those_that_act_returns(name):
    """Over 20,000 draws, every action is chosen, as its probability is at least 0.05 / 27: false alarm below 1e-14."""
    n = 20_000
    for row, seconds in VIEWS:
        view, policy = view_of([row] * n, seconds), make_policy(name)
        assert isinstance(policy, PolicyWithProbabilities)
        actions, propensities = decide(policy, view, random_draws(n))
        one = view_of([row], seconds)
        odds = memory.probabilities(policy, one, memory.start(policy, 1), None)[0]
        assert odds.sum() == pytest.approx(1, abs=1e-12)
        assert (odds >= 0).all()
        np.testing.assert_array_equal(odds[actions], propensities)
        assert set(np.flatnonzero(odds)) == set(actions)


@pytest.mark.parametrize("name", NAMES)
def test_policies_choose_the_same_in_any_batch(name):
    """Lane i chooses the same action alone and in a batch, given the same random words."""
    rows, seconds = [row for row, _ in VIEWS], np.array([s for _, s in VIEWS])
    words = np.random.default_rng(1).integers(0, 2**32, (len(rows), 4), dtype=np.uint32)
    together = decide(make_policy(name), view_of(rows, seconds), draws_of(words))
    for lane, row in enumerate(rows):
        alone = decide(make_policy(name), view_of(row, seconds[lane]), draws_of(words[lane : lane + 1]))
        assert [column[0] for column in alone] == [column[lane] for column in together]


# ── the view ───────────────────────────────────────────────────────────────────────────


class Watcher:
    """Chooses as `uniform`, stores its view, and calls `look` at each step."""

    name = "watcher"

    def __init__(self, look=lambda view, draws: None):
        self.look, self.view = look, None

    def act(self, view, draws):
        self.view = view
        self.look(view, draws)
        return draws.integers(view.num_actions), np.full(view.num_lanes, 1 / view.num_actions)


def test_a_view_encodes_actions_for_its_number_of_learning_outcomes():
    view = view_of(np.zeros((3, 42)))
    lo = view.mastery.argmin(axis=1)
    assert view.content(lo, "video").tolist() == [120, 120, 120]
    assert view.question([0, 1, 39], ["Easy", "Medium", "Hard"]).tolist() == [0, 4, 119]
    assert view.question(39, 2).tolist() == view.question(39, "Hard").tolist() == [119] * 3
    assert view.content(39, "handout").tolist() == [359] * 3
    actions = view.question(3, "Easy")
    actions[0] = 1  # a new array, which the policy may change
    assert actions.tolist() == [1, 9, 9] and actions.dtype == np.int64
    with pytest.raises(ValueError, match=r"arrays of shape \(3,\); got the shape \(2,\); select with np.where instead"):
        view.question(lo[:2], "Easy")
    one = np.array([False, True, False])  # the result of a mask must not become the action of all lanes
    for arguments in ((lo[one], "Easy"), (lo, [1]), (lo[:, np.newaxis], 0), (lo[:, np.newaxis], [0, 1, 2])):
        with pytest.raises(ValueError, match=r"of shape \(3,\); got the shape \([13],1?\); select|the shape \(3, 1\)"):
            view.question(*arguments)
    with pytest.raises(ValueError, match=r"^lo must be an integer in \[0, 40\); got 40$"):
        view.question(40, "Easy")
    with pytest.raises(ValueError, match="the level of a content must be one of 'video', .*; got 'Easy'"):
        view.content(lo, "Easy")


@pytest.mark.parametrize("num_los", [3, 40])
def test_rules_encode_actions_as_python_does(num_los):
    inputs = PolicyInput(np.uint64(0), i64(num_los), np.float32(0))
    for lo in range(num_los):
        questions = [question_action(inputs, i64(lo), i64(k)) for k in range(3)]
        contents = [content_action(inputs, i64(lo), i64(k)) for k in range(6)]
        assert questions == alsim.encode_action("question", lo, [0, 1, 2], num_los).tolist()
        assert contents == alsim.encode_action("content", lo, MODALITIES, num_los).tolist()


def test_the_view_has_these_attributes_and_no_ability():
    watcher = Watcher()
    rollout(watcher, num_learners=2, config=SMALL)
    public = {name for name in dir(watcher.view) if not name.startswith("_")}
    assert public == {
        *("observation", "kind", "num_los", "active", "last_seconds", "actions", "items", "correct", "seconds"),
        *("num_lanes", "num_actions", "step", "mastery", "frustration", "question", "content"),
        *("truth", "asked", "shown", "clock", "hours", "mask"),
    }
    assert set(vars(watcher.view)) <= public


def test_nothing_in_the_view_equals_ability():
    abilities = []

    def look(view, draws):
        values = [v for value in vars(view).values() for v in (value if isinstance(value, list) else [value])]
        abilities.extend(np.isin(truth, array).any() for array in values if isinstance(array, np.ndarray))

    truth = rollout("uniform", num_learners=4, config=SMALL).ability_start
    rollout(Watcher(look), num_learners=4, config=SMALL)
    assert len(abilities) > 20
    assert not any(abilities)


def test_the_view_is_read_only():
    def look(view, draws):
        for name in ("observation", "active", "last_seconds", "mastery", "frustration"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(view, name)[...] = 0
        for name in ("actions", "items", "seconds"):
            for past in getattr(view, name):
                with pytest.raises(ValueError, match="read-only"):
                    past[...] = 0
        with pytest.raises(AttributeError):
            view.num_los = 3

    rollout(Watcher(look), num_learners=2, config=SMALL)


def test_a_policy_may_reuse_its_arrays():
    class Reusing:
        name = "reusing"
        actions = np.zeros(3, np.int64)
        odds = np.ones(3)

        def act(self, view, draws):
            self.actions[:], self.odds[:] = view.step % 27, 1 / (1 + view.step)
            return self.actions, self.odds

    run = rollout(Reusing(), num_learners=3, config=SMALL)
    assert np.array_equal(run.interactions.action, (run.interactions.step - 1) % 27)
    assert np.array_equal(run.propensity, 1 / run.interactions.step)


@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_the_history_equals_the_interactions(observation):
    shown, active = [], []

    def look(view, draws):
        assert view.step == len(view.actions) == len(view.items) == len(view.correct) == len(view.seconds)
        assert (view.num_lanes, view.num_actions, view.num_los, view.kind) == (5, 27, 3, observation)
        shown.append((view.observation.copy(), view.last_seconds.copy()))
        active.append(view.active.copy())

    watcher = Watcher(look)
    config = Config.read({"num_los": 3, "max_episode_steps": 30, "termination": {"max_frustration": 0.5}})
    run = rollout(watcher, num_learners=5, seed=2, config=config, observation=observation)
    x, view = run.interactions, watcher.view
    assert len(set(x.length.tolist())) > 1
    for lane in range(5):
        rows, last = x.episode == lane, 0.0
        for t in range(x.length[lane]):
            row = np.flatnonzero(rows)[t]
            asked = x.action[row] < 9
            assert np.array_equal(shown[t][0][lane], run.obs[row])
            assert shown[t][1][lane] == last
            assert active[t][lane]
            assert view.actions[t][lane] == x.action[row]
            assert view.items[t][lane] == x.item[row]
            assert view.correct[t][lane] == (int(x.correct[row]) if asked else -1)
            assert np.array_equal(view.seconds[t][lane], x.response_time[row], equal_nan=True)
            last = x.response_time[row] if asked else last
        assert not any(later[lane] for later in active[x.length[lane] :])


def test_the_view_counts_questions_and_contents_by_outcome():
    counts = []
    config = Config.read({"num_los": 3, "max_episode_steps": 30, "termination": {"max_frustration": 0.5}})
    run = rollout(Watcher(lambda view, draws: counts.append((view.asked, view.shown))), num_learners=5, config=config)
    x = run.interactions
    assert len(set(x.length.tolist())) > 1
    for lane in range(5):
        decoded = alsim.decode_action(x.action[x.episode == lane], 3)
        for t in range(x.length[lane]):
            for which, kind in enumerate(("question", "content")):
                past = decoded.lo[:t][decoded.kind[:t] == kind]
                assert counts[t][which][lane].tolist() == [(past == lo).sum() for lo in range(3)]


# ── the randomness of a policy ────────────────────────────────────────────────────────────────────────


def test_draws_of_a_lane_do_not_depend_on_the_batch():
    def recorder(into):
        # Eleven words: three blocks of four.
        return lambda view, draws: into.append(
            [
                draws.uniform(),
                draws.integers(7),
                draws.words(),
                draws.integers(np.arange(1, 1 + view.num_lanes) * 0 + 5),
            ]
            + [draws.uniform() for _ in range(7)]
        )

    crowd, alone = [], []
    many = rollout(Watcher(recorder(crowd)), num_learners=6, seed=4, config=SMALL)
    rollout(Watcher(recorder(alone)), num_learners=1, first_learner=3, seed=4, config=SMALL)
    steps = int(many.interactions.length[3])
    assert len(alone) == steps
    for together, own in zip(crowd, alone, strict=False):
        for column, single in zip(together, own, strict=True):
            assert column[3] == single[0]
    uniforms = np.array([[row[0], *row[4:]] for row in crowd])
    assert ((uniforms > 0) & (uniforms < 1)).all()
    assert len(np.unique(uniforms)) == uniforms.size  # no number is repeated


def test_draws_by_kind():
    draws = draws_of([[0, 2**31, 2**32 - 1, 5], [2**32 - 1, 0, 0, 6]])
    assert draws.uniform().tolist() == [0.5 / 2**32, (2**32 - 0.5) / 2**32]
    assert draws.integers(10).tolist() == [5, 0]
    assert draws.integers(np.array([10, 3])).tolist() == [9, 0]
    words = draws.words()
    assert (words.dtype, words.tolist()) == (np.uint32, [5, 6])
    assert draws.integers(1).tolist() == [0, 0]


@pytest.mark.parametrize("n", [2, 3, 9, 270])
def test_integers_are_uniform(n):
    """n = 50,000; false alarm 1e-6."""
    assert chi_square(random_draws(50_000, n).integers(n), n) > 1e-6


def test_s11_2_two_policies_teach_the_same_learner_with_the_same_random_numbers():
    class Same:
        """Always chooses action 4, after a given number of random words."""

        def __init__(self, words):
            self.name, self.count = f"same {words}", words

        def act(self, view, draws):
            for _ in range(self.count):
                draws.words()
            return np.full(view.num_lanes, 4), np.ones(view.num_lanes)

    runs = [rollout(policy, num_learners=5, seed=8, config=SMALL) for policy in ("uniform", "rules", Same(0), Same(9))]
    for run in runs[1:]:
        starts = run.interactions.step == 1
        assert np.array_equal(run.ability_start, runs[0].ability_start)
        assert np.array_equal(run.obs[starts], runs[0].obs[runs[0].interactions.step == 1])
    # The draws of a policy do not change the random numbers of the learners.
    assert np.array_equal(runs[2].obs, runs[3].obs)
    assert np.array_equal(runs[2].interactions.response_time, runs[3].interactions.response_time)


# ── return values of a policy ─────────────────────────────────────────────────────────────────────


class Returns:
    """Returns the given values from the third step on."""

    name = "stubborn"

    def __init__(self, actions, odds=None):
        self.choice = (actions, np.full(3, 0.5) if odds is None else odds)

    def act(self, view, draws):
        return (np.zeros(3, np.int64), np.ones(3)) if view.step < 2 else self.choice


@pytest.mark.parametrize(
    ("actions", "odds", "message"),
    [
        ([0, 1, 27], None, "chose action 27 in lane 2; actions must be in [0, 27)"),
        ([0, -1, 2], None, "chose action -1 in lane 1; actions must be in [0, 27)"),
        ([0, 1], None, "must return 3 integer actions; got int64 of shape (2,)"),
        ([[0, 1, 2]], None, "must return 3 integer actions; got int64 of shape (1, 3)"),
        (0, None, "must return 3 integer actions; got int64 of shape ()"),
        ([0.0, 1.0, 2.0], None, "must return 3 integer actions; got float64 of shape (3,)"),
        ([True, False, True], None, "must return 3 integer actions; got bool of shape (3,)"),
        (["0", "1", "2"], None, "must return 3 integer actions; got <U1 of shape (3,)"),
        (
            [0, 1, 2],
            [0.5, 0.0, 0.5],
            "returned probability 0.0 for its action in lane 1; probabilities must be in (0, 1]",
        ),
        (
            [0, 1, 2],
            [0.5, 0.5, np.nan],
            "returned probability nan for its action in lane 2; probabilities must be in (0, 1]",
        ),
        (
            [0, 1, 2],
            [1.5, 0.5, 0.5],
            "returned probability 1.5 for its action in lane 0; probabilities must be in (0, 1]",
        ),
        (
            [0, 1, 2],
            [0.5, -0.1, 0.5],
            "returned probability -0.1 for its action in lane 1; probabilities must be in (0, 1]",
        ),
        (
            [0, 1, 2],
            [np.inf, 0.5, 0.5],
            "returned probability inf for its action in lane 0; probabilities must be in (0, 1]",
        ),
        ([0, 1, 2], [1, 1, 1], "must return 3 float probabilities; got int64 of shape (3,)"),
        ([0, 1, 2], 0.5, "must return 3 float probabilities; got float64 of shape ()"),
        ([[0], 1, 2], None, "cannot be converted to a NumPy array: setting an array element with a sequence"),
        ([0, 1, 2], [0.5, 0.5], "must return 3 float probabilities; got float64 of shape (2,)"),
    ],
)
def test_invalid_return_values_are_refused_by_lane(actions, odds, message):
    with pytest.raises(ValueError) as caught:
        rollout(Returns(actions, odds), num_learners=3, config=SMALL)
    assert str(caught.value).startswith(("the policy 'stubborn' ", "the actions of the policy 'stubborn' cannot"))
    assert message in str(caught.value)


@pytest.mark.parametrize("choice", [np.zeros(3, np.int64), np.zeros(2, np.int64), None, (np.zeros(3, np.int64),), {}])
def test_a_return_value_that_is_not_a_pair_is_refused(choice):
    class Single:
        name = "single"

        def act(self, view, draws):
            return choice

    with pytest.raises(TypeError, match=r"the policy 'single' must return a pair \(actions, probabilities\); got"):
        rollout(Single(), num_learners=3, config=SMALL)


def test_return_values_for_finished_lanes_are_ignored():
    class Wild:
        name = "wild"

        def act(self, view, draws):
            return np.where(view.active, 0, -99), np.where(view.active, 1.0, np.nan)

    config = Config.read({"num_los": 3, "max_episode_steps": 30, "termination": {"max_frustration": 0.3}})
    run = rollout(Wild(), num_learners=5, config=config)
    assert len(set(run.interactions.length.tolist())) > 1
    assert (run.interactions.action == 0).all()
    assert (run.propensity == 1).all()


def test_narrow_types_are_accepted():
    class Narrow:
        name = "narrow"

        def act(self, view, draws):
            return np.full(3, 5, np.uint8), np.full(3, 0.25, np.float32)

    run = rollout(Narrow(), num_learners=3, config=SMALL)
    assert (run.interactions.action == 5).all()
    assert run.propensity.dtype == np.float64


# ── the registry ─────────────────────────────────────────────────────────────────────────────────


def test_policies_are_registered_once():
    register_policy("watcher", Watcher)
    assert isinstance(make_policy("watcher"), Watcher)
    for name, cure in (("watcher", r", or first remove .*: alsim.policies.POLICIES.pop\('watcher'\)"), ("uniform", "")):
        with pytest.raises(
            ValueError,
            match=f"the policy '{name}' is already registered; registered are .*watcher; use another name{cure}$",
        ):
            register_policy(name, Returns)
    assert rollout("watcher", num_learners=1, config=SMALL).propensity[0] == 1 / 27


def test_a_class_or_function_may_be_registered_again():
    """As when a cell of a notebook is run again, or a module is reloaded."""
    cell = "class Mine:\n    name = 'mine'\n    act = lambda self, view, draws: {}\n\ndef make():\n    return Mine()\n"
    for what in ("Mine", "make"):
        for version in (1, 2):
            namespace = {"__name__": "notebook"}
            exec(cell.format(version), namespace)
            register_policy(f"mine-{what}", namespace[what])
            assert make_policy(f"mine-{what}").act(None, None) == version
    with pytest.raises(ValueError, match="'mine-make' is already registered"):
        register_policy("mine-make", namespace["Mine"])
    other = {"__name__": "another_module"}
    exec(cell.format(3), other)
    with pytest.raises(ValueError, match="'mine-Mine' is already registered"):
        register_policy("mine-Mine", other["Mine"])


def test_the_error_for_an_unknown_policy_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown policy 'other'; known are uniform, rules, .*; alsim.register_policy"):
        make_policy("other")


@pytest.mark.parametrize("policy", [None, 3, object(), lambda view, draws: None, Watcher])
def test_objects_without_name_and_act_are_refused(policy):
    with pytest.raises(TypeError, match=r"a policy must be an instance with a name and .* act\(view, draws\); got"):
        make_policy(policy)


def made(**members):
    """Return an instance of a class `Spaced`, and of a module `theirs`, with these members."""
    return type("Spaced", (), {"__module__": "theirs", **members})()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Watcher, "which is a class; pass Watcher()"),
        (made(act=lambda self, view, draws: None), 'the class Spaced has no name; add name = "spaced" to the class'),
        (made(name="spaced"), "the class Spaced has no method act; add def act(self, view, draws)"),
        (made(name="spaced", act=3), "the class Spaced has no method act; add def act(self, view, draws)"),
        (made(name="", act=lambda self, view, draws: None), "name of a policy must be a string, not empty; got ''"),
        (
            made(name="spaced", act=lambda self, view: None),
            "the method act of the policy 'spaced' must take a view and draws; got act(self, view); "
            "write def act(self, view, draws)",
        ),
        (made(name="spaced", act=lambda view, draws: None), "got act(view, draws); write def act(self, view, draws)"),
        (
            made(__module__="stable_baselines3.ppo.ppo", policy=None),
            "got a Spaced of stable_baselines3; pass alsim.training.policy_of(model)",
        ),
    ],
)
def test_the_error_for_an_incomplete_policy_shows_the_cure(policy, message):
    with pytest.raises(TypeError) as caught:
        rollout(policy, num_learners=1, config=SMALL)
    assert str(caught.value).endswith(message)


def test_errors_about_long_objects_are_short():
    for policy in ([1] * 100_000, np.zeros(100_000), {k: k for k in range(1000)}):
        with pytest.raises(TypeError) as caught:
            make_policy(policy)
        assert len(str(caught.value)) < 200


def test_act_may_have_further_parameters_with_defaults():
    policy = made(name="spaced", act=lambda self, view, draws=None, *rest, more=1: None)
    assert make_policy(policy) is policy


def test_an_exception_of_a_policy_has_a_note_with_its_place():
    class Failing(Returns):
        def act(self, view, draws):
            return view.question(0, "Eazy"), np.ones(view.num_lanes)

    line = Failing.act.__code__.co_firstlineno + 1
    with pytest.raises(ValueError, match="the level of a question must be one of") as caught:
        rollout(Failing([0]), num_learners=3, config=SMALL)
    assert caught.value.__notes__ == [f"raised by the policy 'stubborn', in {__file__}, line {line}"]


def test_the_place_of_an_exception_of_numpy_is_the_line_that_calls_it():
    class Failing(Returns):
        def act(self, view, draws):
            return np.stack([]), None

    line = Failing.act.__code__.co_firstlineno + 1
    with pytest.raises(ValueError, match="need at least one array") as caught:
        rollout(Failing([0]), num_learners=3, config=SMALL)
    assert caught.value.__notes__ == [f"raised by the policy 'stubborn', in {__file__}, line {line}"]


def test_an_exception_of_a_built_in_policy_has_no_place():
    with pytest.raises(ValueError, match="the policy 'rules' needs observation") as caught:
        rollout("rules", num_learners=1, config=SMALL, observation="responses")
    assert not hasattr(caught.value, "__notes__")


def test_the_modalities_are_the_specifications():
    assert [MODALITIES[k] for k in (VIDEO, PPT, TEXT, HANDOUT)] == ["video", "PPT", "text", "handout"]


# ── policies that are a rule ─────────────────────────────────────────────────────────────────────


class Parameters(NamedTuple):
    action: float = 0.0
    propensity: float = 1.0


@rule
def constant(p, observation, inputs, words):
    return i64(p.action), f64(p.propensity)


def always(number, odds=1.0):
    """Return a policy of this module that always chooses the same action."""

    class Always(RulePolicy):
        name = "always"
        parameters = Parameters(number, odds)
        choose = constant

    return Always()


def driven(policy):
    """Return the same policy, called from Python because its class overrides `act`."""

    class Driven(type(policy)):
        def act(self, view, draws):
            return super().act(view, draws)

    return Driven()


MANY_ENDS = Config.read({"num_los": 4, "max_episode_steps": 23, "termination": {"max_frustration": 0.4}})


@pytest.mark.ci
@pytest.mark.parametrize("config", [SMALL, MANY_ENDS, Config.read({"num_los": 1, "max_episode_steps": 1})])
@pytest.mark.parametrize(
    ("policy", "observation"), [("uniform", "mastery"), ("uniform", "responses"), ("rules", "mastery"), (7, "mastery")]
)
def test_compiled_and_called_from_python_give_the_same_bits(policy, observation, config):
    policy = always(policy) if isinstance(policy, int) else make_policy(policy)
    assert is_rule(policy) and not is_rule(driven(policy))
    arguments = {"num_learners": 40, "episodes_per_learner": 3, "seed": 5, "first_learner": 2**32 - 40}
    runs = [rollout(p, config=config, observation=observation, **arguments) for p in (policy, driven(policy))]
    one, other = ({**vars(run), **run.interactions._asdict(), **run.metrics._asdict()} for run in runs)
    compared = 0
    for name, column in one.items():
        if isinstance(column, np.ndarray):
            np.testing.assert_array_equal(column, other[name], strict=True, err_msg=name)
            compared += 1
    assert compared == 34


@pytest.mark.ci
@pytest.mark.parametrize(("number", "odds"), [(27, 1), (-1, 1), (0, 0), (0, 1.5), (0, np.nan), (0, -1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_invalid_choices_of_a_rule_are_refused(number, odds, threads, monkeypatch):
    monkeypatch.setattr(collector, "MAX_BLOCK_EPISODES", 16)
    with pytest.raises(ValueError, match=f"the policy 'always' chose action {number} with probability") as caught:
        rollout(always(number, odds), num_learners=40, config=SMALL, num_threads=threads)
    assert "actions must be in [0, 27), and probabilities in (0, 1]" in str(caught.value)


def test_a_subclass_may_change_the_parameters():
    class Calm(Rules):
        name = "calm"
        parameters = Thresholds(frustrated=0.1)

    calm, rules_ = (rollout(p, num_learners=30, config=SMALL).interactions for p in (Calm(), "rules"))
    assert (calm.action >= 9).sum() > (rules_.action >= 9).sum()


@pytest.mark.heavy
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_whose_logs_grow(threads, monkeypatch):
    """Episodes are longer than the first allocation, and there are far more parts than threads."""
    monkeypatch.setattr(collector, "INITIAL_STEPS", 2)
    monkeypatch.setattr(collector, "MAX_BLOCK_EPISODES", 16)
    arguments = {"num_learners": 150, "config": SMALL, "seed": 3}
    one, many = rollout(**arguments), rollout(**arguments, num_threads=threads)
    for name, column in {**vars(one), **one.interactions._asdict()}.items():
        if isinstance(column, np.ndarray):
            other = getattr(many, name, None)
            other = getattr(many.interactions, name) if other is None else other
            np.testing.assert_array_equal(column, other, strict=True, err_msg=name)
            assert column.flags.owndata or column.base is not None and column.base.size == column.size, name


def test_each_rule_needs_a_separate_class_of_parameters():
    with pytest.raises(
        ValueError, match="Stolen: the class of the parameters selects the rule, and Thresholds already"
    ):

        class Stolen(Rules):
            name = "stolen"
            choose = constant

    with pytest.raises(TypeError, match="Bare: a RulePolicy must define `parameters`, a NamedTuple, and `choose`"):

        class Bare(RulePolicy):
            name = "bare"

    wrapped = rollout(driven(Rules()), num_learners=3, config=SMALL).interactions.action
    assert wrapped.tolist() == rollout("rules", num_learners=3, config=SMALL).interactions.action.tolist()


CELLS = (
    "class Level(NamedTuple):\n    x: float = 1.0\n",
    """
@rule
def choose(p, observation, inputs, words):
    return question_action(inputs, i64(0), LEVEL), f64(1)

class Asks(RulePolicy):
    name, parameters, choose = "asks", Level(), choose

register_policy("asks", Asks)
""",
)
"""Two cells of a notebook: the class of the parameters; the rule and the policy."""


def test_a_cell_with_a_rule_can_be_run_again():
    """With the class of the parameters only if the rule has changed: compiled code selects the rule by this class."""
    notebook = {**globals(), "__name__": "notebook", "LEVEL": i64(0)}
    for cell in (*CELLS, CELLS[1]):
        exec(cell, notebook)
    with pytest.raises(ValueError, match="Level already selects another rule; .* define the class again, too"):
        exec(CELLS[1].replace("f64(1)", "f64(0.5)"), notebook)
    first = policy_fingerprint(make_policy("asks"))
    notebook["LEVEL"] = i64(2)
    if COMPILED:
        with pytest.raises(ValueError, match="rule of the policy .* Level was changed after its first use"):
            policy_fingerprint(make_policy("asks"))
    for cell in CELLS:
        exec(cell, notebook)
    assert policy_fingerprint(make_policy("asks")) != first
    POLICIES.pop("asks")


@pytest.mark.heavy
def test_episodes_without_a_limit_allocate_only_used_memory():
    """An allocation of 2**31 interactions per learner would take terabytes."""
    endless = Config.read({**SMALL.to_dict(), "max_episode_steps": 2**31 - 2, "termination": {"max_frustration": 0.3}})
    short = Config.read({**endless.to_dict(), "max_episode_steps": 10_000})
    one, other = (rollout("uniform", num_learners=20, config=config) for config in (endless, short))
    assert len(one.propensity) == len(other.propensity) > 20
    for name, column in one.interactions._asdict().items():
        np.testing.assert_array_equal(column, getattr(other.interactions, name), strict=True)
    assert len(generate_dataset(20, 1, config=endless)) == len(one.propensity)


EXTERNAL_POLICY = """
from typing import NamedTuple
from alsim import rule
from alsim.policies import RulePolicy
from alsim.types import f64, i64

class NoParameters(NamedTuple):
    pass

@rule
def choose_one(p, observation, inputs, words):
    return i64(NUMBER), f64(1)

class Fixed(RulePolicy):
    name = "fixed"
    parameters = NoParameters()
    choose = choose_one
"""


@pytest.mark.ci
@pytest.mark.versionless
def test_edited_rules_of_external_policies_are_recompiled(tmp_path):
    """An edited rule is compiled again, and the cache stays readable where the rule cannot be imported."""
    environment = {**os.environ, "ALSIM_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(alsim.__file__).parent.parent)])

    def actions(policy, imports=""):
        code = f"""{imports}
import numpy as np, alsim
config = {{"num_los": 3, "max_episode_steps": 4}}
print(*alsim.rollout({policy}, num_learners=2, config=config).interactions.action[:4])"""
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
        ).stdout.split()

    for number in (0, 5):
        (tmp_path / "theirs.py").write_text(EXTERNAL_POLICY.replace("NUMBER", str(number)))
        assert actions("theirs.Fixed()", "import theirs") == [str(number)] * 4
    (tmp_path / "theirs.py").unlink()
    assert len(actions("'uniform'")) == 4
