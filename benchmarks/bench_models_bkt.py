"""Cost of Bayesian knowledge tracing: a fit, and a batch of the online tracker."""

from __future__ import annotations

import pytest

from benchmarks.models_bkt import batch, simulated_log


@pytest.mark.parametrize("forgets", [False, True], ids=["learns", "forgets"])
def test_fit(benchmark, forgets):
    from alsim.models.bkt import fit

    log = simulated_log()
    benchmark.pedantic(fit, (log,), {"forgets": forgets}, rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("students", [10_000, 1_000_000])
def test_tracker(benchmark, students):
    from alsim.models.bkt import BKT, Tracker

    tracker, responses = Tracker({str(k): BKT() for k in range(100)}, students), batch(students, 100)
    benchmark.pedantic(tracker.update, responses, rounds=5, warmup_rounds=1)
