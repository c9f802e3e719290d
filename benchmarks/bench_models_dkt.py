"""Cost of forecasts by deep knowledge tracing: one response of one student, and a log of many students."""

from __future__ import annotations

import numpy as np
import pytest

from alsim.models import Responses
from benchmarks.models_dkt import SKILLS, untrained


def test_one_response(benchmark):
    tracker = untrained().tracker()
    benchmark(tracker.update, "ann", "7", 1)


@pytest.mark.parametrize("students", [1, 1000])
def test_a_log(benchmark, students):
    random, fitted = np.random.default_rng(0), untrained()
    many = 40 * students
    log = Responses.from_arrays(
        np.repeat(np.arange(students), 40), random.integers(2, size=many), skill=random.integers(SKILLS, size=many)
    )
    benchmark.extra_info["responses"] = len(log)
    benchmark(fitted.predict, log)
