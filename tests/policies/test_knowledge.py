"""Policies of student models: against plain Python, and with models that do not fit the bank."""

from pathlib import Path

import numpy as np
import pytest

import alsim
from alsim.errors import AlsimError
from alsim.models.student import BKTModel, EloModel, FSRSModel, HLRModel, Items, PFAModel
from alsim.policies import StudentModelPolicy

SMALL = {"num_los": 4, "max_episode_steps": 60, "termination": {"max_frustration": 0.9}}
ELO = Path(__file__).with_name("elo-30.npz")


def after_answer(known, correct):
    """Return P(known) after an answer under the guide's parameters: Bayes' rule, then learning."""
    slip, guess, learn = 0.1, 0.2, 0.1
    seen = known * (1 - slip) if correct else known * slip
    other = (1 - known) * guess if correct else (1 - known) * (1 - guess)
    posterior = seen / (seen + other)
    return posterior + (1 - posterior) * learn


def test_bkt_equals_a_loop_over_learners():
    run = alsim.rollout("bkt", num_learners=40, seed=1, config=SMALL)
    x, videos = run.interactions, 0
    assert (run.propensity == 1).all()
    for learner in range(40):
        known, frustration = [0.3] * 4, 0.0
        for row in np.flatnonzero(x.episode == learner):
            lo = int(np.argmin(known))
            level = int(known[lo] >= 0.4) + int(known[lo] >= 0.7)
            expected = 12 + 6 * lo if frustration > 0.5 else 3 * lo + level
            assert x.action[row] == expected
            videos += expected >= 12
            if expected < 12:
                known[lo] = after_answer(known[lo], bool(x.correct[row]))
            frustration = float(x.frustration[row])
    assert videos > 50


def test_it_reads_no_mastery():
    one = alsim.rollout("bkt", num_learners=10, seed=1, config=SMALL)
    other = alsim.rollout("bkt", num_learners=10, seed=1, config=SMALL, observation="responses")
    assert np.array_equal(one.interactions.action, other.interactions.action)


@pytest.mark.ci
@pytest.mark.parametrize("items", [Items.of_skills(4), Items.of_cells(4)], ids=["outcomes", "cells"])
@pytest.mark.parametrize(
    "kind",
    [EloModel, lambda items: BKTModel(items, p_init=0.2), HLRModel, FSRSModel],
    ids=["elo", "bkt", "hlr", "fsrs"],
)
def test_any_student_model_can_teach(kind, items, tmp_path):
    file = kind(items).save(tmp_path / "model.npz")
    policy = alsim.make_policy(f"student:{file}")
    log = alsim.generate_dataset(15, 2, policy=policy, seed=2, config=SMALL)
    assert log.manifest["policy"]["digest"] == policy.digest == StudentModelPolicy(kind(items)).digest
    assert log.probabilities(policy).tobytes() == log.propensity.tobytes()
    together = alsim.rollout(policy, num_learners=15, seed=2, config=SMALL).interactions
    alone = alsim.rollout(policy, num_learners=1, first_learner=9, seed=2, config=SMALL).interactions
    assert np.array_equal(together.action[together.episode == 9], alone.action)


def test_models_with_other_parameters_have_other_digests():
    models = EloModel(4), EloModel(Items.of_cells(4)), BKTModel(4), BKTModel(4, p_init=0.2), PFAModel(4, 0.0)
    assert len({StudentModelPolicy(model).digest for model in models}) == 5


def test_a_mask_leaves_the_choice_among_the_other_outcomes():
    allowed = np.ones(36, bool)
    allowed[0:3] = allowed[12:18] = False  # nothing about LO 0
    x = alsim.rollout("bkt", num_learners=10, seed=0, config=SMALL, action_mask=allowed).interactions
    assert allowed[x.action].all()
    assert (alsim.decode_action(x.action, 4).lo[x.step == 1] == 1).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (EloModel(5), r"policy 'student' has 5 items and 5 skills; expected 4 skills, and 4 items or 12; make it with"),
        (EloModel(Items(["a", "b"], [["x"], ["x"]])), r"has 2 items and 1 skills; expected 4 skills"),
    ],
)
def test_a_model_of_other_items_is_refused(model, message):
    with pytest.raises(AlsimError, match=message):
        alsim.rollout(StudentModelPolicy(model), num_learners=2, config=SMALL)


def test_objects_that_are_no_student_models_are_refused(tmp_path):
    for value in (None, EloModel, "bkt"):
        with pytest.raises(TypeError, match="^the policy student needs a student model; got .*; make one with"):
            StudentModelPolicy(value)
    with pytest.raises(AlsimError, match="there is no such file"):
        alsim.make_policy(f"student:{tmp_path / 'absent.npz'}")


SHAPE = r"of the policy 'student' must be an array of shape \(4, 3\); got .*; correct its method mastery"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mastery: mastery * np.nan, "of the policy 'student' is NaN in lane 0; correct its method mastery"),
        (lambda mastery: mastery[:, :2], SHAPE),
        (lambda mastery: mastery[:, 0], SHAPE),
        (lambda mastery: mastery.tolist(), SHAPE),
    ],
    ids=["NaN", "few outcomes", "one axis", "a list"],
)
def test_a_model_with_invalid_estimates_is_refused(change, message):
    class Invalid(BKTModel):
        def mastery(self, students):
            return change(super().mastery(students))

    config = {"num_los": 3, "max_episode_steps": 3}
    with pytest.raises(AlsimError, match=message):
        alsim.rollout(StudentModelPolicy(Invalid(3)), num_learners=4, config=config)
