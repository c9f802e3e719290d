"""Features, kinds of actions and clusters of simulated learners, against plain Python; and a small log."""

import numpy as np
import pytest

import alsim
from alsim.evaluation import ope
from alsim.evaluation.ope.features import clusters, features, kinds_of_actions, kinds_of_odds
from alsim.mdp.actions import num_actions
from alsim.types import MODALITIES


@pytest.mark.parametrize("num_los", [1, 4])
def test_kinds_and_features_are_means_over_actions(num_los):
    """Both are linear in the probabilities: those of a policy are the mean of those of single actions."""
    random, size = np.random.default_rng(0), num_actions(num_los)
    levels = random.random((5, num_los)).astype(np.float32)
    observation = np.concatenate([levels, random.random((5, num_los + 2)).astype(np.float32)], axis=1)
    odds = random.dirichlet(np.full(size, 0.3), 5)
    found = features(observation, levels, kinds_of_odds(odds, levels))
    wanted = np.zeros(found.shape)
    for action in range(size):
        _, kinds = kinds_of_actions(np.full(5, action), levels)
        wanted += odds[:, [action]] * features(observation, levels, kinds)
    assert found == pytest.approx(wanted, abs=2e-6)  # float32: sums of at most 36 numbers below 1


@pytest.mark.parametrize("num_los", [1, 4])
def test_the_kind_of_an_action_is_its_difficulty_or_its_modality(num_los):
    actions = np.arange(num_actions(num_los))
    kinds, shares = kinds_of_actions(actions, np.ones((len(actions), num_los), np.float32))
    names = ["Easy", "Medium", "Hard", *MODALITIES]
    for action in actions.tolist():
        assert names[kinds[action]] == alsim.decode_action(action, num_los).level
        assert shares.share[action].tolist() == [float(k == kinds[action]) for k in range(9)]


def test_clusters_have_as_many_rows():
    values = np.random.default_rng(0).random((1200, 3)).astype(np.float32)
    found = clusters(values, (2, 1, 3))
    assert {*found.tolist()} == {*range(6)}
    for column, bins in ((0, 2), (2, 3)):
        order = np.argsort(values[:, column])
        code = found // 3 if column == 0 else found % 3
        assert [len({*part.tolist()}) for part in np.split(code[order], bins)] == [1] * bins


def test_a_small_log():
    """Of short episodes of three outcomes: the own policy has the mean return, up to the error of the model."""
    config = {"num_los": 3, "max_episode_steps": 6}
    policy = "epsilon-greedy:rules:0.5"
    log = alsim.generate_dataset(num_learners=30, episodes_per_learner=1, policy=policy, seed=0, config=config)
    found = ope.evaluate(log, policy)
    returns = np.bincount(np.repeat(np.arange(30), log.episodes.column("total_steps").to_numpy()), log.reward)
    for name in ("tis", "pdis", "snpdis", "mis", "window"):
        assert found.estimators[name].value == pytest.approx(returns.mean(), rel=1e-6), name
    for name in ("dr", "wdr", "fqe"):  # n = 30, seed 0; false alarms have a probability below 1e-4
        assert found.estimators[name].value == pytest.approx(returns.mean(), abs=4 * found.behaviour_value.se), name
