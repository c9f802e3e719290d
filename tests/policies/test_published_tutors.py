"""Learners and tutors of Reddy, Levine & Dragan (2017): traces of recall, and mean returns of two of the tutors.

Their Leitner tutor is a network of queues that are drawn at random, without times: another policy than `leitner`.
"""

import copy
import json

import numpy as np
import pytest
from teachers import draws_of, transitions_of, view_of

from alsim.models import hlr
from alsim.policies import memory
from alsim.policies.schedulers.outcomes import Situation
from alsim.policies.schedulers.random_due import RandomDue
from alsim.policies.schedulers.threshold import nearest_recall

ITEMS, STEPS, DELAY, WINDOWS = 30, 200, 5.0, 5
THRESHOLD = 0.5
LN_2 = np.log(2)


class Learners:
    """E learners with 30 items each, all last seen at time 0."""

    def __init__(self, episodes, generator):
        self.shape, self.now, self.step = (episodes, ITEMS), 0.0, 0
        self.last, self.attempts, self.right = np.zeros((3, *self.shape))
        self.draw(generator)

    def review(self, items, correct):
        """Record one answer per learner, at the end of the delay."""
        places = np.arange(len(items)), items
        self.now, self.step = self.now + DELAY, self.step + 1
        self.attempts[places] += 1
        self.right[places] += correct
        self.last[places] = self.now

    def recall(self):
        """Return the probability of recall of each item, (E, 30), for exponential curves: their half-life is S ln 2."""
        return hlr.recall(self.now - self.last, self.strength() * LN_2)


class EFC(Learners):
    """Exponential forgetting curve: recall is exp(-rate t / attempts)."""

    def draw(self, generator):
        self.rates = np.exp(generator.normal(np.log(0.077), 1, self.shape))

    def read(self, parameters):
        self.rates = np.array([parameters["item_decay_rates"]])

    def strength(self):
        return (1 + self.attempts) / self.rates


class HLR(Learners):
    """Strength exp(attempts + right + item), without square roots."""

    def draw(self, generator):
        self.weights, self.items = np.array([1.0, 1.0, 0.0]), generator.normal(0, 1, self.shape)

    def read(self, parameters):
        weights = np.array(parameters["loglinear_coeffs"])
        self.weights, self.items = weights[:3], weights[np.newaxis, 3:]

    def strength(self):
        features = np.stack([self.attempts, self.right, self.attempts - self.right], axis=-1)
        return np.exp((features * self.weights).sum(axis=-1) + self.items)


class DASH(Learners):
    """Difficulty, ability and study history; the running window does not count."""

    def draw(self, generator):
        self.difficulty, self.decay = generator.normal(1, 1, self.shape), np.exp(generator.normal(1, 1, self.shape))
        self.coefficient = np.exp(generator.normal(0, 0.01, (self.shape[0], 1)))
        self.past = np.zeros((2, *self.shape))
        self.history = np.zeros(self.shape)

    def review(self, items, correct):
        before = self.window()
        super().review(items, correct)
        if self.window() > before:  # a window has ended: its counts enter the history with its weight
            weight = 1.0 / (WINDOWS - before) ** 2
            counts = np.stack([self.right, self.attempts])
            self.history += weight * np.log1p(counts - self.past).sum(axis=0)
            self.past = counts

    def window(self):
        return min(WINDOWS - 1, self.step // (STEPS // WINDOWS))

    def recall(self):
        known = 1 / (1 + np.exp(self.difficulty - self.history))
        return known / (1 + self.coefficient * (self.now - self.last)) ** np.exp(-self.decay)


LEARNERS = {"EFC": EFC, "HLR": HLR, "DASH": DASH}


@pytest.fixture(scope="module")
def tutors(published):
    return json.loads((published / "learners/deeptutor.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["EFC", "HLR"])
def test_traces_of_recall_by_the_half_life(name, tutors):
    """Recall of 30 items along 2 traces, by `hlr.recall`, to the seven digits of the file."""
    compared = 0
    for trace in tutors["traces"][name]:
        learners = LEARNERS[name](1, np.random.default_rng(0))
        learners.read(trace["parameters"])
        learners.last = np.array([trace["parameters"]["last_review_before_start"]], float)
        listed = {int(row[0]): row[1:] for row in trace["recall_after_review_t"]}
        for k, (item, outcome, time) in enumerate(trace["reviews"]):
            learners.review(np.array([item]), np.array([outcome]))
            assert learners.now == time
            if k in listed:
                np.testing.assert_allclose(learners.recall()[0], listed[k], rtol=2e-6, atol=1e-300)
                compared += ITEMS
    assert compared > 500


def played(learners, tutor, generator):
    """Return the mean recall of each learner over the steps of a tutor; the first item is random."""
    lanes = learners.shape[0]
    total = np.zeros(lanes)
    for step in range(STEPS):
        items = tutor.choose(learners) if step else generator.integers(ITEMS, size=lanes)
        correct = generator.random(lanes) < learners.recall()[np.arange(lanes), items]
        learners.review(items, correct)
        tutor.see(items, correct)
        total += learners.recall().mean(axis=1)
    return total / STEPS


class Random:
    """The policy `random-due`, for which everything is always due, through views and transitions."""

    def __init__(self, learners, generator):
        self.policy, self.generator, self.lanes = (
            RandomDue(0.0, floor=0.0, difficulty="Easy"),
            generator,
            learners.shape[0],
        )
        self.state, self.clock = memory.start(self.policy, self.lanes), np.zeros(self.lanes)

    def choose(self, learners):
        words = self.generator.integers(0, 2**32, (self.lanes, 4), dtype=np.uint32)
        view = view_of(self.lanes, ITEMS, clock=self.clock)
        actions, propensities = self.policy.act(view, self.state, draws_of(words))
        assert np.allclose(propensities, 1 / ITEMS)
        return actions // 3

    def see(self, items, correct):
        view, self.clock = view_of(self.lanes, ITEMS, clock=self.clock), self.clock + DELAY
        self.state = memory.learn(self.policy, self.state, transitions_of(view, 3 * items, correct, clock=self.clock))


class Nearest:
    """The rule of the policy `threshold`, at the recall that the tutor of the notebook knows.

    That tutor follows a copy of the learner, with the true parameters. The copy has one random review more, at the
    start, and takes the start of each review as its time. Under HLR, most recalls are 0 or 1 in floating point, and the
    notebook chooses the first of these ties; `nearest_recall` compares ages, which differ. The ties are kept there.
    """

    def __init__(self, learners, generator):
        self.copy = copy.deepcopy(learners)
        items, lanes = generator.integers(ITEMS, size=learners.shape[0]), np.arange(learners.shape[0])
        self.copy.review(items, generator.random(len(lanes)) < self.copy.recall()[lanes, items])

    def choose(self, learners):
        recall = self.copy.recall()
        if isinstance(learners, HLR):
            return np.abs(recall - THRESHOLD).argmin(axis=1)
        everything = np.ones(recall.shape, bool)
        now = Situation(np.zeros(len(recall)), everything, ~everything)
        return nearest_recall(-np.log2(recall), THRESHOLD, now).lo

    def see(self, items, correct):
        self.copy.review(items, correct)
        self.copy.last[np.arange(len(items)), items] -= 2 * DELAY


@pytest.mark.ci
@pytest.mark.parametrize("tutor", ["random", "threshold"])
@pytest.mark.parametrize("name", LEARNERS)
def test_returns_of_tutors(name, tutor, tutors):
    """n = 150 published episodes and 400 of ours, seed 2; false alarm 1e-6 for each mean."""
    mean, error, episodes = tutors["returns"][name][tutor]
    assert episodes == 150
    generator = np.random.default_rng(2)
    learners = LEARNERS[name](400, generator)
    found = played(learners, (Random if tutor == "random" else Nearest)(learners, generator), generator)
    assert abs(found.mean() - mean) < 4.9 * np.hypot(found.std(ddof=1) / 20, error)
