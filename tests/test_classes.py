"""Classes: effects that their learners share, statistics by class, and bad input (clause S12.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
from by_dynamics import case
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import alsim
from alsim.config import Config, ConfigError, independent_unit
from alsim.evaluation.dataset_summary import summary
from alsim.evaluation.held_out import FINAL, evaluate
from alsim.jit.compile import COMPILED
from alsim.policies import Uniform

CLASS = 9
"""Purpose of the random numbers of a class (S11.1)."""
CLASSES = {"size": 4, "mastery_std": 0.8, "ability_std": 1.5}
LIMITS = {"num_los": 3, "max_episode_steps": 8}


def truth(classes: Any, lanes: int = 60, **others: Any) -> dict[str, Any]:
    env = alsim.AdaptiveLearningVectorEnv(lanes, config={"num_los": 4, "classes": classes, **others})
    env.reset(seed=9)
    return env.truth()


def logit(p: Any) -> Any:
    p = np.asarray(p, np.float64)
    return np.log(p) - np.log1p(-p)


@pytest.mark.ci
def test_effects_are_those_of_the_words_of_a_class() -> None:
    """By the definition in float64; float32 masteries near 0 or 1 have logits with an error of 1e-5."""
    found, alone = truth(CLASSES), truth(None)
    assert found["class_id"].tolist() == [k // 4 for k in range(60)]
    assert "class_id" not in alone
    for k in range(60):
        words = oracle.philox4x32((0, 0, k // 4, CLASS), (9, 0))
        shifts = [oracle.normal(*words[:2]), oracle.normal(*words[2:])]
        assert found["ability"][k] - alone["ability"][k] == pytest.approx(1.5 * shifts[0], abs=2e-6)
        assert logit(found["mastery"][k]) - logit(alone["mastery"][k]) == pytest.approx(0.8 * shifts[1], abs=2e-5)


@pytest.mark.ci
@pytest.mark.skipif(not COMPILED, reason="many learners")
def test_effects_are_normal_and_independent() -> None:
    """8,000 classes of 5. Three tests with a false-alarm probability of 1e-6 each."""
    found, alone = (truth(c, 40_000) for c in ({**CLASSES, "size": 5}, None))
    ability = (found["ability"].astype(np.float64) - alone["ability"]).reshape(-1, 5)
    mastery = (logit(found["mastery"]) - logit(alone["mastery"])).reshape(-1, 5, 4)
    assert np.ptp(ability, axis=1).max() < 1e-5
    assert np.median(np.ptp(mastery, axis=(1, 2))) < 1e-5
    shifts = np.median(mastery, axis=(1, 2))
    assert stats.kstest(ability[:, 0], "norm", (0, 1.5)).pvalue > 1e-6
    assert stats.kstest(shifts, "norm", (0, 0.8)).pvalue > 1e-6
    assert stats.pearsonr(ability[:, 0], shifts).pvalue > 1e-6


@pytest.mark.ci
def test_without_spread_no_bit_changes() -> None:
    alone = alsim.rollout("rules", num_learners=20, seed=3, config=LIMITS)
    neutral = alsim.rollout("rules", num_learners=20, seed=3, config={**LIMITS, "classes": {"size": 3}})
    for table in ("transitions", "episodes"):
        assert neutral.to_pandas(table).equals(alone.to_pandas(table))


@pytest.mark.ci
@given(st.integers(1, 2**32), st.floats(0, 10), st.floats(0, 10), st.floats(0.01, 50), st.floats(0.01, 50))
def test_masteries_stay_in_their_bounds(size: int, mastery: float, ability: float, alpha: float, beta: float) -> None:
    values, classes = [round(v, 4) for v in (mastery, ability)], {"size": size}
    classes |= dict(zip(("mastery_std", "ability_std"), values, strict=True))
    learner = {"mastery_alpha": alpha, "mastery_beta": beta}
    found = truth(classes, 5, learner=learner)
    assert ((found["mastery"] >= 0) & (found["mastery"] <= 1)).all() and np.isfinite(found["ability"]).all()


@pytest.mark.ci
def test_extreme_masteries_stay() -> None:
    """Beta(0.001, 0.001) gives masteries of exactly 0 and 1, which have no finite logit."""
    learner = {"mastery_alpha": 1e-3, "mastery_beta": 1e-3}
    found, alone = (truth(c, 200, learner=learner)["mastery"] for c in ({"size": 1, "mastery_std": 10.0}, None))
    assert (alone == 0).any() and (alone == 1).any()
    assert np.array_equal(found[alone == 0], alone[alone == 0]) and np.array_equal(found[alone == 1], alone[alone == 1])


@pytest.mark.parametrize("dynamics", [case("standard"), case("bkt", compiled=False)])
def test_a_learner_has_its_class_in_every_batch_and_episode(dynamics: str) -> None:
    """Alone, in a batch, in a later episode, and in compiled rollouts."""
    config = {**LIMITS, "classes": CLASSES, "dynamics": dynamics, "population": [{"share": 0.5}, {"share": 0.5}]}
    many, few = (
        alsim.rollout("uniform", num_learners=n, seed=2, config=config, episodes_per_learner=2) for n in (9, 5)
    )
    starts = [run.obs[run.interactions.step == 1] for run in (many, few)]
    assert np.array_equal(starts[0][many.learner_id < 5], starts[1])
    env = alsim.AdaptiveLearningVectorEnv(3, config=config)
    for episode, (observed, _) in enumerate((env.reset(seed=2), env.reset())):
        assert np.array_equal(starts[1][(few.episode == episode) & (few.learner_id < 3)], observed)


@pytest.mark.ci
def test_the_unit_of_statistics_is_the_class() -> None:
    config = {**LIMITS, "classes": CLASSES}
    dataset = alsim.generate_dataset(22, policy="uniform", seed=3, config=config)
    numbers, frame = summary(dataset), dataset.to_pandas("episodes")
    means = frame.groupby(frame.learner_id // 4)["final_mastery"].mean()
    found = numbers["metrics"]["final_mastery"]
    assert numbers["independent_unit"] == "class" and found["n"] == len(means) == 6
    assert found["mean"] == pytest.approx(means.mean()) and found["se"] == pytest.approx(means.std() / 6**0.5)


@pytest.mark.parametrize(
    ("config", "unit"),
    [
        ({}, "episode"),
        ({"classes": {"size": 5}}, "episode"),
        ({"population": [{"share": 1.0}]}, "episode"),
        ({"population": [{"share": 0.5}] * 2, "classes": {"size": 5}}, "learner"),
        ({"population": [{"share": 0.5}] * 2, "classes": {"size": 5, "mastery_std": 1.0}}, "class"),
        ({"classes": {"size": 5, "ability_std": 1.0}}, "class"),
    ],
)
def test_the_independent_unit_is_that_of_the_configuration(config: Any, unit: str) -> None:
    assert independent_unit(Config.read(config).to_dict()).name == unit


@pytest.mark.ci
@pytest.mark.skipif(not COMPILED, reason="1,000 learners")
def test_evaluations_have_the_standard_error_of_classes() -> None:
    """With 250 classes whose ability differs by 1.5 logits, the standard error is above that of 1,000 learners."""
    found = []
    for classes in (CLASSES, {**CLASSES, "ability_std": 0.0, "mastery_std": 0.0}):
        config = Config.read({**LIMITS, "classes": classes})
        bank = alsim.sample_bank(config)
        found.append(evaluate(Uniform(), FINAL, config, bank, observation="mastery"))
    by_class, by_learner = found
    assert {value["n"] for value in by_class.values()} == {250}
    assert {value["n"] for value in by_learner.values()} == {1000}
    assert by_class["final_mastery"]["se"] > 1.2 * by_learner["final_mastery"]["se"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "classes.size is missing"),
        ({"size": 0}, "classes.size = 0: expected a number >= 1"),
        ({"size": 2.5}, "classes.size = 2.5: expected an integer"),
        ({"size": 5, "mastery_std": -1}, "classes.mastery_std = -1: expected a number >= 0"),
        ({"size": 5, "ability_std": float("nan")}, "classes.ability_std = nan: expected a finite number"),
        ({"size": 5, "mastery_sd": 1}, "unknown key"),
        (25, "classes = 25: expected a table"),
    ],
)
def test_invalid_classes_are_refused(classes: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Config.read({"classes": classes})
    assert message in str(error.value)
