"""Student models of memory: clocks, recall after breaks, contents, and the policies that teach by them."""

import numpy as np
import pytest

import alsim
from alsim.models import ModelError, fsrs, hlr
from alsim.models.student import (
    BKTModel,
    FSRSModel,
    HLRModel,
    Items,
    StudentModel,
    TimedStudentModel,
    load_student_model,
)
from alsim.policies import StudentModelPolicy

SEVERAL = Items(["q0", "q1", "q2"], [["a"], ["b"], ["a", "b"]])
MODELS = {"hlr": HLRModel, "fsrs": FSRSModel}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def step(model, students, item, correct, hours):
    """One answer of the only student."""
    model.advance(students, np.array([hours], float))
    model.update(students, np.array([item]), np.array([correct]))


@every_model
def test_a_model_of_memory_knows_time(make):
    assert isinstance(make(3), TimedStudentModel)
    assert isinstance(make(3), StudentModel)
    assert not isinstance(BKTModel(3), TimedStudentModel)


def test_a_history_of_hlr_is_that_of_the_equations():
    """Answers at 0, 5, 30 and 100 hours; the item q2 practises both skills."""
    model, theta = HLRModel(SEVERAL, (0.3, -0.2, 0.1), prior=0.4, guess=[0.1, 0.2, 0.0]), (0.3, -0.2, 0.1)
    students = model.start(1)
    assert model.mastery(students).tolist() == [[0.4, 0.4]]
    for item, correct, hours in ((0, 1, 0), (0, 0, 5), (2, 1, 30)):
        step(model, students, item, correct, hours)
    assert model.mastery(students).tolist() == [[1, 1]]
    model.advance(students, 100.0)
    a, b = (hlr.recall(70 / 24, hlr.half_life(*counts, theta)) for counts in ((2, 1), (1, 0)))
    np.testing.assert_allclose(model.mastery(students), [[a, b]], rtol=1e-14)
    held = 0.0001 + 0.9998 * np.array([a, b, (a + b) / 2])
    guess = np.array([0.1, 0.2, 0.0])
    np.testing.assert_allclose(model.chances(students), [guess + (1 - guess) * held], rtol=1e-14)


def test_a_history_of_fsrs_is_that_of_the_cards(published):
    """Skills are cards: the model has their stability, difficulty and retrievability, with the ratings 1 and 3."""
    model, students = FSRSModel(1), FSRSModel(1).start(1)
    stability, difficulty, hours = np.nan, np.nan, 0.0
    rng = np.random.default_rng(2)
    for _ in range(30):
        gap, correct = float(rng.choice([0.1, 5, 24, 100, 700])), int(rng.random() < 0.7)
        hours += gap
        model.advance(students, hours)
        if not np.isnan(stability):
            expected = fsrs.retrievability(stability, gap / 24)
            assert model.mastery(students)[0, 0] == pytest.approx(float(expected), rel=1e-12)
        model.update(students, [0], [correct])
        stability, difficulty = fsrs.review(stability, difficulty, gap / 24, 3 if correct else 1)
        assert students["stability"][0, 0] == pytest.approx(float(stability), rel=1e-12)
        assert students["difficulty"][0, 0] == pytest.approx(float(difficulty), rel=1e-12)


@every_model
def test_without_practice_nothing_is_forgotten(make):
    model = make(4, prior=[0.1, 0.2, 0.3, 0.4])
    students = model.start(2)
    model.advance(students, [1e4, 1.0])
    assert model.mastery(students).tolist() == [[0.1, 0.2, 0.3, 0.4]] * 2
    assert not model.practised(students).any()


@every_model
def test_without_advance_no_time_passes(make):
    model = make(1)
    students = model.start(1)
    model.update(students, [0], [1])
    assert model.mastery(students).tolist() == [[1.0]]
    assert model.chances(students).tolist() == [[0.9999]]


@every_model
def test_a_content_is_a_correct_answer_times_its_weight(make):
    answered, studied, ignored = make(SEVERAL), make(SEVERAL), make(SEVERAL, p_content=0)
    states = [model.start(1) for model in (answered, studied, ignored)]
    for hours in (3, 50, 60):
        step(answered, states[0], 2, 1, hours)
        step(studied, states[1], 2, -1, hours)
        step(ignored, states[2], 2, -1, hours)
    assert all(states[0][name].tobytes() == states[1][name].tobytes() for name in states[0])
    assert not ignored.practised(states[2]).any()
    half = make(SEVERAL, p_content=0.5)
    state = half.start(1)
    half.update(state, [0], [-1])
    name = "right" if make is HLRModel else "stability"
    assert state[name][0, 0] == 0.5 * (1 if make is HLRModel else fsrs.WEIGHTS[2])


@every_model
def test_clocks_of_a_batch_are_those_of_single_students(make):
    """The bits do not depend on the batch, also with clocks that differ or stay."""
    model, rng = make(Items.of_cells(5), guess=0.2), np.random.default_rng(1)
    together, single = model.start(17), [model.start(1) for _ in range(17)]
    hours = np.zeros(17)
    for _ in range(12):
        hours = hours + rng.choice([0, 0.3, 7, 200], 17)
        now = np.where(rng.random(17) < 0.2, np.nan, hours)
        items, correct, active = rng.integers(0, 15, 17), rng.choice([-1, 0, 1], 17), rng.random(17) < 0.8
        model.advance(together, now, active)
        model.update(together, items, correct, active)
        for i, own in enumerate(single):
            model.advance(own, now[i : i + 1], active[i : i + 1])
            model.update(own, items[i : i + 1], correct[i : i + 1], active[i : i + 1])
        hours = np.fmax(together["hours"], hours)
    for i, own in enumerate(single):
        assert all(together[name][i].tobytes() == own[name][0].tobytes() for name in own)
        assert model.chances(own).tobytes() == model.chances(together)[i].tobytes()
        assert model.mastery(own).tobytes() == model.mastery(together)[i].tobytes()


@every_model
@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ([5.0, 3.0], r"times run backwards: the clock of student 1 is at 4 hours; got 3: pass finite hours"),
        ([5.0, np.inf], "the clock of student 1 is at 4 hours; got inf"),
        ([5.0], r"hours must be 2 numbers, one per student; got float64 of shape \(1,\)"),
        (["a", "b"], "hours must be 2 numbers"),
    ],
)
def test_invalid_clocks_are_named_and_change_nothing(make, hours, message):
    model = make(2)
    students = model.start(2)
    model.advance(students, [4.0, 4.0])
    with pytest.raises(ModelError, match=message):
        model.advance(students, hours)
    assert students["hours"].tolist() == [4, 4]
    model.advance(students, [np.nan, 6], [True, True])
    model.advance(students, [1.0, 7.0], [False, True])
    assert students["hours"].tolist() == [4, 7]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HLRModel(2, (1, 2)), r"three finite numbers, \(..., 3\); got \(1, 2\)"),
        (lambda: HLRModel(2, np.ones((3, 3))), r"weights must be one number or an array of shape \(2, 3\)"),
        (lambda: HLRModel(2, prior=1.5), r"prior must be finite numbers in \[0, 1\]; got 1.5"),
        (lambda: HLRModel(2, guess=[0, -1]), r"guess must be finite numbers in \[0, 1\]; got -1"),
        (lambda: FSRSModel(2, p_content=2), r"p_content must be finite numbers in \[0, 1\]; got 2"),
        (lambda: FSRSModel(2, fsrs.WEIGHTS[:19]), "weights of FSRS must be 21 numbers; got shape"),
    ],
)
def test_invalid_parameters_are_named(make, message):
    with pytest.raises(ModelError, match=message):
        make()


class Recorded(StudentModelPolicy):
    """A policy that compares the clocks of its learners with the view, and records reviews of the first learner."""

    def act(self, view, state, draws):
        np.testing.assert_array_equal(state["hours"][view.active], view.hours[view.active])
        return super().act(view, state, draws)

    def learn(self, state, transitions):
        x, start = transitions, state["hours"].copy()
        super().learn(state, transitions)
        assert x.clock is not None
        np.testing.assert_array_equal(state["hours"][x.active], x.clock[x.active])
        lanes = np.flatnonzero(x.active)
        np.testing.assert_array_equal(state["last"][lanes, x.los[lanes]], start[lanes])
        self.contents.append(int((x.active & ~x.asks).sum()))  # copies of the policy share the list


@pytest.mark.ci
@every_model
@pytest.mark.parametrize("items", [Items.of_skills(3), Items.of_cells(3)], ids=["outcomes", "cells"])
def test_a_policy_follows_the_clock_of_its_learners(make, items, tmp_path):
    """Reviews take place at the starts of interactions, also of contents, and the next one after the break."""
    policy = Recorded(load_student_model(make(items).save(tmp_path / "model.npz")))
    policy.contents = []
    config = {"num_los": 3, "max_episode_steps": 30, "sessions": {"interactions": 4, "break_hours": 24}}
    alsim.rollout(policy, num_learners=20, seed=1, config=config)
    assert sum(policy.contents) > 5
