"""Schedulers of reviews: twins in plain Python, propensities, times, masks, and the published learners."""

import re

import numpy as np
import pytest
from schedulers_of_one import TWINS
from scipy import stats
from teachers import Play, draws_of, snapshot, transitions_of, view_of

import alsim
from alsim.bank.course import course_of
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.policies import EpsilonGreedy, bound, make_policy, memory
from alsim.policies.schedulers.base import Presentations
from alsim.policies.schedulers.fsrs import FSRS
from alsim.policies.schedulers.leitner import Leitner
from alsim.policies.schedulers.outcomes import Situation
from alsim.policies.schedulers.random_due import RandomDue
from alsim.policies.schedulers.sm2 import SM2
from alsim.policies.schedulers.threshold import RecallThreshold, nearest_recall

NAMES = [*TWINS]
EDGES = [[0, 1], [0, 3], [2, 3], [3, 4]]
SPACED = {"num_los": 4, "max_episode_steps": 60, "sessions": {"interactions": 10, "break_hours": 24}}
VARIANTS = [
    {},
    {"floor": 0.0},
    {"floor": 0.3, "difficulty": "Hard", "first": "content"},
    {"first": "content"},
    {"difficulty": "Easy"},
]


def course(num_los, edges=()):
    config = Config.read(
        {"num_los": num_los, "curriculum": [list(edge) for edge in edges]} if edges else {"num_los": num_los}
    )
    return course_of(sample_bank(config), config)


def made(name, **options):
    """Return a scheduler by its class, with options by name."""
    return type(make_policy(name))(**options)


# ── twins ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("edges", [(), EDGES])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_policy_equals_the_twin(name, options, masked, edges):
    """Random histories with breaks, contents, exploration, lanes that end, and masks that change."""
    los = 5
    policy = bound(made(name, **options), course(los, edges))
    parents = [[a for a, b in edges if b == lo] for lo in range(los)]
    twins = [TWINS[name](los, parents, **options) for _ in range(8)]
    play, clocks, reviews = Play(policy, los, range(8), 60, masked=masked, ends={2: 9}, timed=True), [], 0
    for _, view, state, actions, propensities, correct in play:
        odds = policy.probabilities(view, state)
        clocks.append(view.clock)
        for n in np.flatnonzero(view.active):
            allowed = np.ones(9 * los, bool) if not masked else view.mask[n]
            expected = twins[n].odds(view.clock[n], allowed.tolist())
            np.testing.assert_allclose(odds[n], expected, rtol=0, atol=1e-12)
            assert propensities[n] == odds[n, actions[n]] > 0
            twins[n].learn(int(actions[n]), int(correct[n]), view.clock[n])
    reviews = sum(card is not None for twin in twins for card in twin.cards)
    assert reviews == 40 or masked or edges
    assert clocks[-1].max() > 20 * 24  # weeks with breaks
    assert clocks[-1].min() < 6  # and a session without any


@pytest.mark.parametrize("right", [3, 5])
def test_other_qualities_change_the_easiness(right):
    policy, twins = SM2(right=right), [TWINS["sm2"](3) for _ in range(4)]
    for twin in twins:
        twin.right = right
    for _, view, state, actions, _, correct in Play(policy, 3, range(4), 60, timed=True):
        for n, twin in enumerate(twins):
            np.testing.assert_allclose(
                policy.probabilities(view, state)[n], twin.odds(view.clock[n], [1] * 27), atol=1e-12
            )
            twin.learn(int(actions[n]), int(correct[n]), view.clock[n])
    assert (state.easiness[:, :3] != 2.5).all()


@pytest.mark.ci
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_lane_has_the_same_bits_in_any_batch(name, masked):
    policy = bound(make_policy(name), course(4, [[0, 1], [1, 2]]))
    lanes, options = np.arange(11), {"masked": masked, "timed": True, "ends": {3: 5}}
    together = snapshot(policy, 4, lanes, 25, **options)
    for some in ([0], [7], [3, 10, 1]):
        for all_, own in zip(together, snapshot(policy, 4, some, 25, **options), strict=True):
            rows = all_[:5, some] if 3 in some else all_[:, some]
            assert np.array_equal(rows, own[:5] if 3 in some else own)


def test_parts_of_a_large_batch_do_not_change_the_choice(monkeypatch):
    together = snapshot(make_policy("fsrs"), 4, range(11), 12, timed=True)
    monkeypatch.setattr("alsim.policies.schedulers.base.LANES_AT_ONCE", 4)
    for all_, own in zip(together, snapshot(make_policy("fsrs"), 4, range(11), 12, timed=True), strict=True):
        assert np.array_equal(all_, own)


# ── propensities ─────────────────────────────────────────────────────────────────────────────────


def started(policy, lanes, los, hours, mask=None):
    """Return a view of equal lanes after LOs 0 and 1 were presented, 0 wrong and 1 right, and their state."""
    state = memory.start(policy, lanes)
    for k, lo in enumerate((0, 1)):
        view = view_of(lanes, los, clock=np.full(lanes, k / 10))
        after = np.full(lanes, (k + 1) / 10)
        state = memory.learn(
            policy, state, transitions_of(view, np.full(lanes, 3 * lo), np.full(lanes, k), clock=after)
        )
    mask = None if mask is None else np.tile(mask, (lanes, 1))
    return view_of(lanes, los, mask=mask, clock=np.full(lanes, hours)), state


@pytest.mark.compiled  # many lanes
@pytest.mark.parametrize("hours", [0.2, 30.0, 400.0])
@pytest.mark.parametrize("options", [{}, {"first": "content", "floor": 0.4}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_frequencies_are_the_propensities(name, options, hours):
    """n = 40,000 equal lanes, seed 0; false alarm 1e-6."""
    n, policy = 40_000, made(name, **options)
    mask = np.arange(36) % 5 != 1
    view, state = started(policy, n, 4, hours, mask)
    words = np.random.default_rng(0).integers(0, 2**32, (n, 4), dtype=np.uint32)
    actions, propensities = policy.act(view, state, draws_of(words))
    odds = policy.probabilities(view, state)[0]
    assert odds.sum() == pytest.approx(1, abs=1e-12)
    assert set(np.flatnonzero(odds)) == set(actions) == set(np.flatnonzero(mask))
    assert (propensities == odds[actions]).all()
    counts = np.bincount(actions, minlength=36)[mask]
    assert stats.chisquare(counts, n * odds[mask]).pvalue > 1e-6


def test_the_order_is_due_then_new_then_ahead():
    policy = Leitner(floor=0.0)
    for hours, lo in ((0.2, 2), (24.0, 0), (48.2, 0), (23.9, 2)):
        view, state = started(policy, 1, 3, hours)
        assert np.flatnonzero(policy.probabilities(view, state)[0]).tolist() == [3 * lo, 3 * lo + 1, 3 * lo + 2]
    view, state = started(policy, 1, 2, 0.2)  # nothing is due or new: LO 0 is due first, after one day
    assert np.flatnonzero(policy.probabilities(view, state)[0]).tolist() == [0, 1, 2]


def test_random_due_without_an_interval_is_uniform_over_all():
    policy = RandomDue(0.0, floor=0.0)
    view, state = started(policy, 1, 4, 0.2)
    np.testing.assert_allclose(policy.probabilities(view, state)[0, :12], 1 / 12, rtol=1e-15)


def test_fsrs_is_due_when_retrievability_reaches_the_retention():
    """At retention 0.9, the first interval is the first stability: w2 = 2.3065 days after a right answer."""
    for retention in (0.7, 0.9, 0.97):
        policy, f = FSRS(retention, floor=0.0), 0.9 ** (-1 / 0.1542) - 1
        days = 2.3065 / f * (retention ** (-1 / 0.1542) - 1)
        for shift, lo in ((-1e-6, 2), (1e-6, 1)):
            view, state = started(policy, 1, 3, 0.1 + 24 * days + shift)
            state.last[:, 0] = 0.1 + 24 * days  # the wrong one was shown again now
            assert np.flatnonzero(policy.probabilities(view, state)[0])[0] == 3 * lo


# ── the threshold ────────────────────────────────────────────────────────────────────────────────


def test_the_smallest_difference_is_chosen_on_either_side():
    everything = np.ones((1, 4), bool)

    def lo(recall, threshold=0.5, known=everything):
        now = Situation(np.zeros(1), known, ~known)
        return nearest_recall(-np.log2(np.array([recall])), threshold, now).lo.item()

    assert lo([0.9, 0.6, 0.35, 0.1]) == 1
    assert lo([0.9, 0.7, 0.35, 0.1]) == 2
    assert lo([0.9, 0.7, 0.6, 0.8]) == 2
    assert lo([0.1, 0.2, 0.2, 0.05]) == 1  # the first of equals
    assert lo([0.75, 0.25, 0.25, 0.75]) == 0  # equal differences on both sides
    partly = np.array([[True, True, False, True]])
    assert lo([0.9, 0.6, 0.5, 0.51], known=partly) == 2  # nothing is below the threshold: a new one
    assert lo([0.9, 0.6, 0.5, 0.45], known=partly) == 3


def test_random_recalls_against_the_rule_of_the_literature():
    """argmin |recall - threshold| over 30 items, as the tutor of Reddy et al. computes it; 2,000 rows."""
    generator = np.random.default_rng(1)
    recall = generator.random((2000, 30)) ** 3
    for threshold in (0.05, 0.3, 0.9):
        now = Situation(np.zeros(2000), np.ones((2000, 30), bool), np.zeros((2000, 30), bool))
        found = nearest_recall(-np.log2(recall), threshold, now).lo
        assert np.array_equal(found, np.abs(recall - threshold).argmin(axis=1))


# ── times ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_without_a_clock_only_the_first_choice_is_possible(name):
    policy, message = make_policy(name), "view.hours needs a clock; this view was made without one: pass clock="
    state = memory.start(policy, 2)
    view = view_of(2, 3)
    assert policy.probabilities(view, state).sum() == pytest.approx(2)
    with pytest.raises(AlsimError, match=f"^the policy '{name}' needs the time after each interaction: pass Trans"):
        memory.learn(policy, state, transitions_of(view, [0, 0], [1, 1]))
    memory.learn(policy, state, transitions_of(view, [0, 0], [1, 1], clock=np.ones(2)))
    for call in (lambda: policy.probabilities(view, state), lambda: policy.act(view, state, draws_of(np.ones((2, 4))))):
        with pytest.raises(AlsimError, match=f"^{re.escape(message)}"):
            call()


@pytest.mark.parametrize("hours", [1.5, np.nan])
@pytest.mark.parametrize("name", NAMES)
def test_a_clock_that_runs_backwards_is_refused(name, hours):
    policy = make_policy(name)
    state = memory.start(policy, 3)
    memory.learn(policy, state, transitions_of(view_of(3, 3), [0, 0, 0], [1, 1, 1], clock=np.full(3, 2.0)))
    clock = np.array([2.0, hours, hours])
    message = f"the clock of the policy '{name}' must not run backwards; got {hours} hours in lane 1 after 2.0 hours: "
    with pytest.raises(AlsimError, match=f"^{message}"):
        policy.probabilities(view_of(3, 3, clock=clock), state)
    with pytest.raises(AlsimError, match=f"^{message}"):
        memory.learn(policy, state, transitions_of(view_of(3, 3), [0, 0, 0], [1, 1, 1], clock=clock))
    ended = np.array([True, False, False])  # the clocks of lanes that have ended are not read
    policy.probabilities(view_of(3, 3, active=ended, clock=clock), state)
    memory.learn(policy, state, transitions_of(view_of(3, 3), [0, 0, 0], [1, 1, 1], active=ended, clock=clock))
    assert state.clock.tolist() == [2, 2, 2]


@pytest.mark.parametrize("name", NAMES)
def test_a_clock_that_stands_still(name):
    """All LOs are introduced in their order; then those that are presented ahead of time."""
    policy, los = made(name, floor=0.0), 4
    state, seen = memory.start(policy, 1), []
    for step in range(12):
        view = view_of(1, los, clock=np.zeros(1))
        words = np.random.default_rng(step).integers(0, 2**32, (1, 4), dtype=np.uint32)
        actions, _ = policy.act(view, state, draws_of(words))
        state = memory.learn(policy, state, transitions_of(view, actions, [1], clock=np.zeros(1)))
        seen.append(int(actions[0]) // 3)
    assert sorted(seen[:los]) == list(range(los))
    assert seen[:los] == list(range(los)) or name == "random-due"


@pytest.mark.parametrize("name", NAMES)
def test_the_time_of_a_review_is_the_start_of_its_interaction(name):
    """In rollouts with breaks: the due dates in the state follow from the clocks that the views had."""
    views = []

    class Recording(type(make_policy(name))):
        def act(self, view, state, draws):
            views.append((view.hours.copy(), state.clock.copy(), view.active.copy()))
            return super().act(view, state, draws)

        def record(self, state, shown):
            hours = views[-1][0][shown.lanes]
            assert np.array_equal(shown.hours, hours)
            super().record(state, shown)

    alsim.rollout(Recording(), num_learners=6, config=SPACED)
    assert len(views) > 20
    for hours, clock, active in views:
        assert np.array_equal(hours[active], clock[active])
    assert max(hours.max() for hours, _, _ in views) > 24


# ── masks and courses ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_one_allowed_action_is_certain(name):
    """Of an LO that is due, of a new one, of one whose parent is missing, and a content."""
    policy = bound(make_policy(name), course(4, [[2, 3]]))
    for action in (0, 5, 8, 11, 12, 35):
        view, state = started(policy, 3, 4, 100.0, np.arange(36) == action)
        actions, propensities = policy.act(view, state, draws_of(np.full((3, 4), 2**31)))
        assert actions.tolist() == [action] * 3
        np.testing.assert_allclose(propensities, 1, rtol=1e-15)


@pytest.mark.parametrize("first", ["question", "content"])
@pytest.mark.parametrize("name", NAMES)
def test_one_outcome(name, first):
    for steps in (1, 30):
        config = {"num_los": 1, "max_episode_steps": steps}
        run = alsim.rollout(made(name, first=first, floor=0.0), num_learners=4, config=config)
        start = run.interactions.action[run.interactions.step == 1]
        assert ((start >= 3) == (first == "content")).all()
        assert (run.interactions.action[run.interactions.step > 1] < 3).all()


def test_parents_are_presented_first():
    policy = bound(Leitner(floor=0.0), course(4, [[3, 0], [0, 1]]))
    state, seen = memory.start(policy, 1), []
    for _ in range(4):
        view = view_of(1, 4, clock=np.zeros(1))
        actions, _ = policy.act(view, state, draws_of(np.zeros((1, 4))))
        state = memory.learn(policy, state, transitions_of(view, actions, [1], clock=np.zeros(1)))
        seen.append(int(actions[0]) // 3)
    assert seen == [2, 3, 0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_another_course_is_refused(name):
    policy = bound(make_policy(name), course(4))
    message = f"^the policy '{name}' is bound to 4 outcomes, but the view has 5; call policy.bind with the course of"
    with pytest.raises(AlsimError, match=message):
        policy.probabilities(view_of(2, 5), memory.start(policy, 2))


# ── logs and wrappers ────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("name", NAMES)
def test_a_log_with_breaks_gives_the_propensities_again(name):
    for policy in (make_policy(name), EpsilonGreedy(make_policy(name), 0.2)):
        log = alsim.generate_dataset(6, 2, policy=policy, seed=4, config=SPACED)
        assert log.probabilities(policy).tobytes() == log.propensity.tobytes()


def test_breaks_decide_what_is_due():
    """After a day, the LOs that were answered wrongly come again; after a minute, there are new ones only."""
    for hours in (24.0, 1 / 60):
        config = {**SPACED, "num_los": 30, "sessions": {"interactions": 10, "break_hours": hours}}
        x, found = alsim.rollout(Leitner(floor=0.0), num_learners=20, seed=1, config=config).interactions, 0
        for episode in np.flatnonzero(x.length >= 20):
            first, second = (np.flatnonzero(x.episode == episode)[k : k + 10] for k in (0, 10))
            wrong = {int(x.action[row]) // 3 for row in first if not x.correct[row]}
            repeated = {int(lo) for lo in x.action[second] // 3 if lo < 10}
            assert repeated == (wrong if hours == 24 else set())
            found += len(wrong)
        assert found > 20


# ── parameters ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leitner:0", "the boxes of leitner must be an integer from 1 to 100; got 0"),
        ("leitner:5:0.0", "the base_days of leitner must be a finite number above 0; got 0.0"),
        ("leitner:5:1.0:inf", "the factor of leitner must be a finite number above 0; got inf"),
        ("leitner:5:1.0:2.0:1.5", r"the floor of leitner must be a number in \[0, 1\]; got 1.5"),
        ("sm2:0.05:Simple", "the difficulty of sm2 must be one of any, Easy, Medium, Hard; got 'Simple'"),
        ("sm2:0.05:any:video", "the first presentation of sm2 must be question or content; got 'video'"),
        ("sm2:0.05:any:question:2", "the quality of a right answer of sm2 must be an integer from 3 to 5; got 2"),
        ("fsrs:1.0", r"the retention of fsrs must be a number in \(0, 1\); got 1.0: 0 and 1 are excluded"),
        ("fsrs:0.0", r"the retention of fsrs must be a number in \(0, 1\); got 0.0: 0 and 1 are excluded"),
        ("fsrs:nan", r"the retention of fsrs must be a number in \(0, 1\); got nan: 0 and 1 are excluded"),
        ("threshold:1.5", r"the threshold of threshold must be a number in \(0, 1\); got 1.5: 0 and 1 are excluded"),
        ("random-due:-1.0", "the interval_hours of random-due must be a finite number from 0; got -1.0"),
    ],
)
def test_invalid_names(name, message):
    with pytest.raises(AlsimError, match=f"^{message}$"):
        make_policy(name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SM2(wrong=3), "the quality of a wrong answer of sm2 must be an integer from 0 to 2; got 3"),
        (lambda: FSRS(weights=(1.0, 2.0)), r"weights of FSRS must be 21 numbers; got shape \(2,\): "),
        (lambda: FSRS("high"), "the retention of fsrs must be a number"),
        (lambda: RecallThreshold(weights=(1.0, 2.0)), "weights of a half-life must be three finite numbers"),
        (
            lambda: Leitner(100, 1.0, 3.0),
            "the interval of box 100 of leitner must be at most 1e\\+30 days; got 1.71793e",
        ),
        (
            lambda: Leitner(100, 1e300, 1e300),
            "the interval of box 100 of leitner must be at most 1e\\+30 days; got inf",
        ),
        (lambda: Leitner(2.5), "the boxes of leitner must be an integer from 1 to 100; got 2.5"),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(AlsimError, match=f"^{message}"):
        make()


def test_intervals_of_sm2_are_bounded():
    """A thousand correct answers to one LO: without a bound, the interval 6 * 2.5^998 days would be infinite."""
    policy = SM2(floor=0.0)
    state, zeros = policy.start_state(1, 1), np.zeros(1, np.int64)
    for _ in range(1000):
        policy.record(state, Presentations(zeros, zeros, np.zeros(1), np.ones(1, np.int8)))
    assert (state.interval[0, 0], state.due[0, 0], state.repetitions[0, 0]) == (1e9, 24e9, 1000)


def test_parameters_that_the_name_does_not_identify_change_the_digest():
    others = [SM2(wrong=1), SM2(right=5), FSRS(weights=[*FSRS().weights[:20], 0.2]), RecallThreshold(weights=(1, 0, 0))]
    for policy in others:
        assert policy.digest != type(policy)().digest == make_policy(policy.name).digest
    assert Leitner(first="content").digest != Leitner().digest


def test_names_carry_arguments():
    policy = make_policy("fsrs:0.8:0.1:Easy:content")
    assert policy.name == "fsrs:0.8:0.1:Easy:content"
    assert (policy.retention, policy.floor, policy.difficulty, policy.first) == (0.8, 0.1, "Easy", "content")
