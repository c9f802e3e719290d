"""Cost of the baselines: counting earlier responses, fitting and forecasting (needs scikit-learn)."""

from __future__ import annotations

import numpy as np
import pytest

from alsim.models import Responses, best_lr, pfa, skill_mean
from alsim.models.features import earlier_of_skills

STUDENTS, EACH, SKILLS, ITEMS = 14_000, 35, 100, 2_000


@pytest.fixture(scope="module")
def responses():
    """Return 490,000 responses, about as many as in the training part of ASSISTments 2015."""
    rng = np.random.default_rng(0)
    student, item = np.repeat(np.arange(STUDENTS), EACH), rng.integers(0, ITEMS, STUDENTS * EACH)
    correct = rng.random(len(item)) < 1 / (
        1 + np.exp(rng.normal(size=ITEMS)[item] - rng.normal(size=STUDENTS)[student])
    )
    return Responses.from_arrays(student, correct, skill=item % SKILLS, item=item)


def test_earlier_wins_and_attempts(benchmark, responses):
    benchmark(earlier_of_skills, responses)


@pytest.mark.parametrize("model", [skill_mean, pfa, best_lr])
def test_fit(benchmark, responses, model):
    benchmark.pedantic(model.fit, (responses,), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("model", [skill_mean, pfa, best_lr])
def test_predict(benchmark, responses, model):
    benchmark(model.fit(responses).predict, responses)
