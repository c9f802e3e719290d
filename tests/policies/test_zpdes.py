"""ZPDES: the published traces, a twin in plain Python, and the policy."""

import json

import numpy as np
import pytest
from teachers import Play, transitions_of, view_of

from alsim.errors import AlsimError
from alsim.policies import make_policy, memory
from alsim.policies.parents import padded_parents
from alsim.policies.sampling import draw
from alsim.policies.zpdes import (
    ZPDES,
    ZoneRule,
    activity_parents,
    record_answers,
    start_zone,
    zone,
    zone_probabilities,
)

MU = ZoneRule(variant="mu")


# ── traces of another program ────────────────────────────────────────────────────────────────────


@pytest.fixture
def traces_file(published):
    return json.loads((published / "teachers/zpdes.json").read_text())


def rule_of(parameters):
    """Return the parameters of a file of traces."""
    return ZoneRule(
        variant="mu",
        history=parameters["history_length"],
        skip=parameters["skip"],
        attempts=parameters["min_concept_attempts"],
        threshold=parameters["progress_threshold"],
        gamma=parameters["gamma"],
        initial_weight=parameters["initial_weight"],
        multiplier=parameters["initial_weight_multiplier"],
        min_weight=parameters["min_weight"],
    )


def test_the_parameters_of_the_traces_are_the_defaults(traces_file):
    assert rule_of(traces_file["parameters"]) == MU


def test_three_published_students_in_one_batch(traces_file):
    """Candidates, probabilities (to 1e-9: the file has nine digits), choices and answers of 107 questions."""
    names, rule = list(traces_file["parents"]), rule_of(traces_file["parameters"])
    parents = padded_parents([[names.index(p) for p in traces_file["parents"][name]] for name in names])
    traces = traces_file["traces"]
    state, drawn, compared = start_zone(len(traces), len(names), rule), 0, 0
    for step in range(max(len(trace["choices"]) for trace in traces)):
        odds = zone_probabilities(state, parents, rule)
        lanes = np.array([lane for lane, trace in enumerate(traces) if step < len(trace["choices"])])
        chosen = np.zeros(len(lanes), np.int64)
        for row, lane in enumerate(lanes):
            candidates, probabilities, choice = traces[lane]["choices"][step]
            listed = [names.index(name) for name in candidates]
            assert set(np.flatnonzero(odds[lane])) == set(listed)
            np.testing.assert_allclose(odds[lane, listed], probabilities, rtol=0, atol=1e-9)
            chosen[row] = names.index(choice)
            compared += len(listed)
        # A variate in the middle of the interval of the published choice draws that choice.
        rows = np.arange(len(lanes))
        middle = np.cumsum(odds[lanes], axis=1)[rows, chosen] - odds[lanes][rows, chosen] / 2
        actions, propensities = draw(odds[lanes], middle)
        assert actions.tolist() == chosen.tolist()
        assert propensities.tolist() == odds[lanes, chosen].tolist()
        drawn += len(lanes)
        correct = np.array([traces[lane]["answers"][step] for lane in lanes], np.int8)
        record_answers(state, lanes, chosen, correct, parents, rule)
    assert (drawn, compared) == (107, 169)
    assert state.mastered.all()  # the published students ended when nothing was left
    assert not zone(state.mastered, parents).any()


# ── a twin in plain Python ───────────────────────────────────────────────────────────────────────


class Twin:
    """ZPDES for one learner, with lists and dictionaries."""

    def __init__(self, parents, p):
        self.parents, self.p, self.mastered = parents, p, set()
        self.answers = [[] for _ in parents]
        self.weight = [p.initial_weight for _ in parents]
        later = p.initial_weight * p.multiplier
        self.history = [[later if listed else p.initial_weight, p.initial_weight] for listed in parents]

    def zone(self):
        return [k for k, listed in enumerate(self.parents) if k not in self.mastered and set(listed) <= self.mastered]

    def weight_of(self, k):
        if self.p.variant == "clement":
            return max(self.weight[k], self.p.min_weight)
        history = self.history[k][1:] if len(self.history[k]) > 2 else self.history[k]
        return max(sum(history) / len(history), self.p.min_weight)

    def odds(self, allowed=None):
        candidates = [k for k in self.zone() if allowed is None or allowed[k]]
        total = sum(self.weight_of(k) for k in candidates)
        odds = [0.0] * len(self.parents)
        for k in candidates:
            odds[k] = (1 - self.p.gamma) * self.weight_of(k) / total + self.p.gamma / len(candidates)
        return odds

    def learn(self, k, correct):
        if k not in self.zone():
            return
        p, answers = self.p, self.answers[k]
        answers.append(correct)
        if len(answers) >= p.history + p.skip:
            end = len(answers) - p.skip
            progress = (sum(answers[-p.history :]) - sum(answers[end - p.history : end])) / p.history
            self.history[k].append(progress)
            self.weight[k] = p.beta * self.weight[k] + p.eta * progress
        if len(answers) >= p.attempts and sum(answers[-p.attempts :]) / p.attempts >= p.threshold:
            self.mastered.add(k)


RULES = [
    *(ZoneRule(variant=variant) for variant in ("clement", "mu")),
    *(ZoneRule(variant=v, history=3, skip=1, attempts=2, threshold=1.0, gamma=0.3) for v in ("clement", "mu")),
    *(ZoneRule(variant=v, history=1, skip=4, attempts=7, threshold=0.5, min_weight=0.2) for v in ("clement", "mu")),
]


@pytest.mark.ci
@pytest.mark.parametrize("rule", RULES)
def test_arrays_equal_the_twin(rule):
    """Random graphs, answers within and outside of the zone, lanes without an answer, and activities not allowed."""
    generator = np.random.default_rng(7)
    for activities in (1, 6, 15):
        listed = [[j for j in range(k) if generator.random() < 0.25] for k in range(activities)]
        parents, lanes = padded_parents(listed), 12
        twins, state = [Twin(listed, rule) for _ in range(lanes)], start_zone(lanes, activities, rule)
        for _ in range(80):
            allowed = generator.random((lanes, activities)) < 0.7
            for mask in (None, allowed):
                expected = [twin.odds(None if mask is None else mask[n]) for n, twin in enumerate(twins)]
                np.testing.assert_allclose(zone_probabilities(state, parents, rule, mask), expected, atol=1e-12)
            answering = np.flatnonzero(generator.random(lanes) < 0.8)
            asked = generator.integers(activities, size=len(answering))
            correct = (generator.random(len(answering)) < 0.75).astype(np.int8)
            record_answers(state, answering, asked, correct, parents, rule)
            for n, k, right in zip(answering, asked, correct, strict=True):
                twins[n].learn(int(k), int(right))
        assert [set(np.flatnonzero(row)) for row in state.mastered] == [twin.mastered for twin in twins]
        assert any(twin.mastered for twin in twins)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["zpdes", "zpdes:0.5:0.2:mu", "zpdes:1.0:0.0"])
def test_the_policy_equals_the_twin(name, masked):
    """With contents and exploration, and with lanes that end."""
    policy, los = make_policy(name), 3
    listed = [[] if k % 3 == 0 else [k - 1] for k in range(9)]
    twins = [Twin(listed, policy.rule) for _ in range(8)]
    for _, view, state, actions, propensities, correct in Play(policy, los, range(8), 60, masked=masked, ends={2: 9}):
        odds = policy.probabilities(view, state)
        for n in np.flatnonzero(view.active):
            allowed = np.ones(27, bool) if not masked else view.mask[n]
            own = np.concatenate([twins[n].odds(allowed[:9]), np.zeros(18)])
            uniform = allowed / allowed.sum()
            expected = policy.floor * uniform + (1 - policy.floor) * own if own.any() else uniform
            np.testing.assert_allclose(odds[n], expected, atol=1e-12)
            assert propensities[n] == odds[n, actions[n]] > 0
            if actions[n] < 9:
                twins[n].learn(int(actions[n]), int(correct[n]))


# ── properties ───────────────────────────────────────────────────────────────────────────────────


def test_difficulties_and_prerequisites_order_the_activities():
    parents = activity_parents(3, ((), (0,), (0, 1))).tolist()
    assert parents == [[9, 9], [0, 9], [1, 9], [1, 9], [3, 9], [4, 9], [1, 4], [6, 9], [7, 9]]


def test_a_learner_who_is_always_right_climbs_to_hard_questions_and_one_who_is_wrong_stays():
    policy = ZPDES(floor=0.0)
    for right, levels in ((1, {0, 1, 2}), (0, {0})):
        seen = set()
        for _, view, state, actions, _, correct in Play(policy, 2, range(5), 24):
            correct[:] = right
            seen |= set((actions[actions < 6] % 3).tolist())
            assert (policy.probabilities(view, state).sum(axis=1) > 1 - 1e-12).all()
        assert seen == levels


def test_when_all_is_mastered_every_allowed_action_is_equally_likely():
    policy = ZPDES(floor=0.0)
    state = memory.start(policy, 2)
    state.mastered[:] = True
    np.testing.assert_allclose(policy.probabilities(view_of(2, 2), state), np.full((2, 18), 1 / 18))


def test_an_answer_outside_of_the_zone_changes_nothing():
    policy = ZPDES()
    state = memory.start(policy, 1)
    before = [array.copy() for array in state]
    memory.learn(policy, state, transitions_of(view_of(1, 2), [1], [True]))  # Medium before Easy
    assert all(np.array_equal(*pair) for pair in zip(before, state, strict=True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zpdes:0.0", r"the threshold of zpdes must be a number in \(0, 1\]; got 0.0"),
        ("zpdes:0.7:1.5", r"the floor of zpdes must be a number in \[0, 1\]; got 1.5"),
        ("zpdes:0.7:nan", r"the floor of zpdes must be a number in \[0, 1\]; got nan"),
        ("zpdes:0.7:0.1:new", "the variant of zpdes must be one of clement, mu; got 'new'"),
    ],
)
def test_invalid_names(name, message):
    with pytest.raises(AlsimError, match=f"^{message}$"):
        make_policy(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": 0}, "the history of zpdes must be an integer from 1 to 100; got 0"),
        ({"skip": 1.5}, "the skip of zpdes must be an integer from 1 to 100; got 1.5"),
        ({"gamma": -0.1}, r"the gamma of zpdes must be a number in \[0, 1\]; got -0.1"),
        ({"min_weight": 0.0}, "the min_weight of zpdes must be a positive number; got 0.0"),
        ({"initial_weight": float("nan")}, "the initial_weight of zpdes must be a positive number; got nan"),
    ],
)
def test_invalid_parameters(change, message):
    with pytest.raises(AlsimError, match=f"^{message}$"):
        ZPDES(rule=ZoneRule(**change))


def test_parameters_that_the_name_does_not_identify_change_the_digest():
    assert ZPDES().digest == make_policy("zpdes").digest != ZPDES(rule=ZoneRule(eta=0.3)).digest
