"""Estimators of Open Bandit Pipeline with feedback of alsim."""

import json

import numpy as np
import pytest
from exported import taught
from obp.ope import (
    DoublyRobust,
    InverseProbabilityWeighting,
    OffPolicyEvaluation,
    SelfNormalizedInverseProbabilityWeighting,
)

from alsim.datasets.export import export_dataset
from alsim.evaluation import ope


@pytest.fixture(scope="module", params=["uniform", "rules"])
def feedback(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("obp")
    made = taught(folder / "taught", policy=request.param, num_learners=400)
    out = export_dataset(made, "obp", folder / "data.npz", action_distribution=True)
    with np.load(out) as file:
        return {**file, **json.loads(str(file["json"]))}


def test_the_estimate_for_the_behaviour_policy_is_its_mean_reward(feedback):
    """Its importance weights are 1, so the estimate is the mean reward up to rounding."""
    estimators = [InverseProbabilityWeighting(), SelfNormalizedInverseProbabilityWeighting()]
    values = OffPolicyEvaluation(bandit_feedback=feedback, ope_estimators=estimators).estimate_policy_values(
        action_dist=feedback["pi_b"]
    )
    mean = feedback["reward"].mean(dtype=float)
    assert values == pytest.approx({"ipw": mean, "snipw": mean}, rel=1e-6)


def test_the_estimate_for_a_policy_of_questions_only(feedback):
    """Compares with the plain sum over the rows that the policy would have chosen."""
    target = np.zeros_like(feedback["pi_b"])
    target[:, :9] = 1 / 9
    ope = OffPolicyEvaluation(bandit_feedback=feedback, ope_estimators=[InverseProbabilityWeighting(), DoublyRobust()])
    model = np.zeros_like(target)
    values = ope.estimate_policy_values(action_dist=target, estimated_rewards_by_reg_model=model)
    asked = feedback["action"] < 9
    expected = (feedback["reward"][asked] / 9 / feedback["pscore"][asked]).sum(dtype=float) / feedback["n_rounds"]
    assert values["ipw"] == pytest.approx(expected, rel=1e-6)
    assert values["dr"] == pytest.approx(expected, rel=1e-6)  # with a reward model of zeros


def test_the_estimates_are_those_of_alsim(feedback):
    """Of a policy that prefers questions, with a model of the rewards."""
    random, rows = np.random.default_rng(0), np.arange(feedback["n_rounds"])
    target = feedback["pi_b"] * np.where(np.arange(feedback["n_actions"]) < 9, 2.0, 1.0)[:, np.newaxis]
    target /= target.sum(axis=1, keepdims=True)
    model = random.random(target.shape)
    estimators = [InverseProbabilityWeighting(), SelfNormalizedInverseProbabilityWeighting(), DoublyRobust()]
    values = OffPolicyEvaluation(bandit_feedback=feedback, ope_estimators=estimators).estimate_policy_values(
        action_dist=target, estimated_rewards_by_reg_model=model
    )
    taken = rows, feedback["action"], 0
    arrays = feedback["reward"], feedback["pscore"], target[taken]
    predictions = {"q": model[taken], "v": (target * model).sum(axis=(1, 2))}
    ours = {"ipw": ope.ips(*arrays), "snipw": ope.snips(*arrays), "dr": ope.dr(*arrays, **predictions)}
    assert values == pytest.approx({name: found.value for name, found in ours.items()}, rel=1e-6)
