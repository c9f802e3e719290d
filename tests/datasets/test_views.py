"""Off-policy evaluation: views and probabilities of logged transitions."""

import numpy as np
import pytest
from exported import CONFIG, same, taught

import alsim
from alsim.datasets import views
from alsim.datasets.generate import generate_dataset
from alsim.errors import AlsimError
from alsim.policies import make_policy
from alsim.rollouts.rollout import rollout

FIELDS = ("actions", "items", "correct", "seconds")
RUN = {"num_learners": 9, "episodes_per_learner": 2, "seed": 2**64 - 1, "config": CONFIG}


class Recording:
    """The uniform policy, which keeps a copy of everything that it sees."""

    name = "recording"

    def __init__(self):
        self.seen, self.uniform = [], make_policy("uniform")

    def act(self, view, draws):
        history = [[entry.copy() for entry in getattr(view, name)] for name in FIELDS]
        self.seen.append((view.observation.copy(), view.last_seconds.copy(), history))
        return self.uniform.act(view, draws)


@pytest.mark.heavy
@pytest.mark.parametrize("lanes", [4096, 4])
@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_views_of_a_dataset_are_those_of_the_rollout(lanes, observation, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "MAX_LANES", lanes)
    policy = Recording()
    run = rollout(policy, **RUN, observation=observation)
    dataset = taught(tmp_path / "taught", observation=observation)
    assert same(dataset.action.astype(np.int32), run.interactions.action.astype(np.int32))
    numbers = dataset.episode + 2 * dataset.learner_id  # lanes of the rollout
    met = np.zeros(len(dataset), int)
    for rows, view in dataset.views():
        assert view.num_lanes <= lanes and view.active.all() and view.kind == observation
        assert (dataset.step[rows] == view.step + 1).all()
        seen, last, history = policy.seen[view.step]
        chosen = numbers[rows]
        assert same(view.observation, seen[chosen]) and same(view.last_seconds, last[chosen])
        for name, entries in zip(FIELDS, history, strict=True):
            for mine, theirs in zip(getattr(view, name), entries, strict=True):
                assert same(mine, theirs[chosen]), name
        met[rows] += 1
    assert (met == 1).all()


@pytest.mark.ci
@pytest.mark.parametrize("policy", ["uniform", "rules", "epsilon-greedy:rules:0.3"])
@pytest.mark.parametrize("stored", [True, False])
def test_the_probabilities_of_the_behaviour_policy_are_the_propensities(policy, stored, tmp_path):
    dataset = taught(tmp_path / "taught", policy=policy, store_observations=stored)
    assert same(dataset.probabilities(policy), dataset.propensity)
    alone = generate_dataset(**RUN, policy=policy)
    assert same(alone.probabilities(make_policy(policy)), dataset.propensity)


def test_distributions_sum_to_1_and_contain_the_probabilities(tmp_path):
    dataset, full = taught(tmp_path / "taught"), np.zeros((0, 27))
    full = np.full((len(dataset), 27), np.nan)
    for rows, odds in dataset.distributions("epsilon-greedy:rules:0.3"):
        full[rows] = odds
    np.testing.assert_allclose(full.sum(axis=1), 1, atol=1e-12)
    chosen = full[np.arange(len(dataset)), dataset.action]
    assert same(chosen, dataset.probabilities("epsilon-greedy:rules:0.3"))


class Fewest:
    """Reads the history: an easy question about the outcome with the fewest questions."""

    name = "fewest"

    def act(self, view, draws):
        return view.question(view.asked.argmin(axis=1), "Easy"), np.ones(view.num_lanes)

    def probabilities(self, view):
        return alsim.policies.one_hot(self.act(view, None)[0], view.num_actions)


def test_a_policy_that_reads_the_history_has_the_probabilities_of_its_log():
    dataset = generate_dataset(**RUN, policy=alsim.policies.EpsilonGreedy(Fewest(), 0.2))
    assert same(dataset.probabilities(alsim.policies.EpsilonGreedy(Fewest(), 0.2)), dataset.propensity)
    assert set(dataset.probabilities(Fewest())) == {0.0, 1.0}


@pytest.mark.compiled
def test_importance_weights_give_the_value_of_another_policy():
    """n = 20,000 episodes of up to 2 steps; false alarm 1e-6."""
    two = {"num_los": 3, "max_episode_steps": 2}
    log = generate_dataset(20_000, 1, "epsilon-greedy:rules:0.5", seed=1, config=two, store_observations=False)
    starts = np.flatnonzero(log.step == 1)
    weights = np.multiply.reduceat(log.probabilities("rules") / log.propensity, starts)
    values = weights * np.add.reduceat(log.reward.astype(float), starts)
    truth = rollout("rules", num_learners=20_000, config=two, seed=2, keep_observations=False).metrics.cumulative_reward
    error = np.hypot(values.std(), truth.std()) / 20_000**0.5
    assert abs(values.mean() - truth.mean()) < 4.9 * error


def test_a_policy_that_does_not_fit_is_refused_at_once():
    dataset = generate_dataset(**RUN, policy="uniform", observation="responses")
    with pytest.raises(
        TypeError, match=r"the policy must be a policy with a method probabilities\(view\); got 'record"
    ):
        dataset.distributions(Recording())
    with pytest.raises(ValueError, match="unknown policy 'rule'"):
        dataset.distributions("rule")
    with pytest.raises(AlsimError, match="the policy 'rules' needs observation='mastery'; got 'responses'"):
        dataset.probabilities("rules")
