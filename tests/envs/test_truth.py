"""The true state of learners in environments: questions, and bad input (clause S15.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import alsim
from alsim.errors import AlsimError

CONFIG = {"num_los": 2}


def environment() -> Any:
    env = alsim.AdaptiveLearningVectorEnv(3, config=CONFIG)
    env.reset(seed=0)
    return env


def test_chances_are_in_the_order_of_the_questions() -> None:
    env = environment()
    both = env.truth([5, 0])["chance"]
    assert both.shape == (3, 2) and env.truth([])["chance"].shape == (3, 0) and "chance" not in env.truth()
    assert np.array_equal(both[:, ::-1], env.truth(np.array([0, 5], np.uint8))["chance"])
    single = alsim.AdaptiveLearningEnv(config=CONFIG)
    single.reset(seed=0)
    assert np.array_equal(single.truth([5, 0])["chance"], both[0])


def test_changes_of_the_result_do_not_change_the_learners() -> None:
    env = environment()
    for values in env.truth([0]).values():
        values[...] = 9
    assert env.truth()["mastery"].max() <= 1 and env.truth()["population_row"].max() == 0


@pytest.mark.parametrize("questions", ["0", [0.5], [True], [[0]], [2**70]])
def test_questions_of_invalid_kinds_are_refused(questions: Any) -> None:
    with pytest.raises(TypeError, match="questions must be a list of indices of questions, such as"):
        environment().truth(questions)


@pytest.mark.parametrize("questions", [[-1], [0, 40]])
def test_questions_outside_the_bank_are_refused(questions: Any) -> None:
    with pytest.raises(AlsimError, match=r"questions must be in \[0, 40\); got"):
        environment().truth(questions)
