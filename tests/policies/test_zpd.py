"""The policy `zpd`: ratings, the nearest chance, and the chances of the questions that it asks."""

import math

import numpy as np
import pytest
from scipy import stats
from teachers import Play

from alsim import generate_dataset
from alsim.errors import AlsimError
from alsim.policies import make_policy
from alsim.policies.zpd import nearest

PARAMETERS = [(0.75, -1.25, 0.175), (1.25, 0.0, 0.175), (1.75, 1.25, 0.175)]


class Twin:
    """Elo ratings of one learner in plain Python, with nominal questions."""

    def __init__(self, num_los):
        self.ability, self.answers = 0.0, 0
        self.offset, self.answers_by_outcome = [0.0] * num_los, [0] * num_los

    def chance(self, lo, level):
        theta = round(min(max(self.ability + self.offset[lo], -4), 4) * 64) / 64
        a, b, c = PARAMETERS[level]
        return c + (1 - c) / (1 + math.exp(-a * (theta - b)))

    def odds(self, target, width, allowed):
        distance = {
            3 * lo + d: abs(self.chance(lo, d) - target)
            for lo in range(len(self.offset))
            for d in range(3)
            if allowed[3 * lo + d]
        }
        odds = [0.0] * (3 * len(self.offset))
        ties = [k for k, x in distance.items() if x <= min(distance.values()) + width]
        for k in ties:
            odds[k] = 1 / len(ties)
        return odds

    def learn(self, lo, level, correct):
        surprise = correct - self.chance(lo, level)
        self.ability += surprise / (1 + 0.05 * self.answers)
        self.offset[lo] += surprise / (1 + 0.05 * self.answers_by_outcome[lo])
        self.answers += 1
        self.answers_by_outcome[lo] += 1


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["zpd", "zpd:0.5:0.3:0.0", "zpd:0.9:0.0:0.2"])
def test_the_policy_equals_the_twin(name, masked):
    policy, los = make_policy(name), 3
    twins = [Twin(los) for _ in range(8)]
    for _, view, state, actions, propensities, correct in Play(policy, los, range(8), 60, masked=masked, ends={5: 7}):
        odds = policy.probabilities(view, state)
        for n in np.flatnonzero(view.active):
            allowed = np.ones(27, bool) if not masked else view.mask[n]
            own = np.concatenate([twins[n].odds(policy.target, policy.width, allowed), np.zeros(18)])
            uniform = allowed / allowed.sum()
            expected = policy.floor * uniform + (1 - policy.floor) * own if own.any() else uniform
            np.testing.assert_allclose(odds[n], expected, atol=1e-12)
            assert propensities[n] == odds[n, actions[n]] > 0
            if actions[n] < 9:
                twins[n].learn(int(actions[n]) // 3, int(actions[n]) % 3, int(correct[n]))


def test_ties_share_the_probability():
    chance = np.array([[0.7, 0.72, 0.5, 0.66, 0.9]])
    assert nearest(chance, 0.7, 0.0)[0].tolist() == [1, 0, 0, 0, 0]
    assert nearest(chance, 0.7, 0.03)[0].tolist() == [0.5, 0.5, 0, 0, 0]
    assert nearest(chance, 0.7, 0.05)[0].tolist() == [1 / 3, 1 / 3, 0, 1 / 3, 0]
    allowed = np.array([[False, False, True, False, True]])
    assert nearest(chance, 0.71, 0.03, allowed)[0].tolist() == [0, 0, 0.5, 0, 0.5]
    assert nearest(chance, 0.7, 0.5, allowed & False)[0].tolist() == [0] * 5


@pytest.mark.ci
@pytest.mark.compiled
def test_its_questions_are_nearer_the_target_than_uniform_ones():
    """n = 80 learners, seed 3: mean distance of the true chance per learner; paired t test, false alarm 1e-6."""
    for target in (0.5, 0.7):
        means = []
        for policy in (f"zpd:{target}:0.0", "uniform"):
            columns = generate_dataset(80, 1, policy=policy, seed=3, truth=True).transitions
            chance, learner = columns.column("chance").to_numpy(), columns.column("learner_id").to_numpy()
            asked = ~np.isnan(chance)
            distance = np.abs(chance[asked] - target)
            means.append(np.bincount(learner[asked], distance) / np.bincount(learner[asked]))
        assert stats.ttest_rel(*means, alternative="less").pvalue < 1e-6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zpd:1.1", r"the target of zpd must be a number in \[0, 1\]; got 1.1"),
        ("zpd:0.7:nan", r"the floor of zpd must be a number in \[0, 1\]; got nan"),
        ("zpd:0.7:0.05:-0.1", r"the width of zpd must be a number in \[0, 1\]; got -0.1"),
    ],
)
def test_invalid_names(name, message):
    with pytest.raises(AlsimError, match=f"^{message}$"):
        make_policy(name)
