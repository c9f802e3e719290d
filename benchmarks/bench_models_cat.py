"""Cost of adaptive tests, by rule of item selection."""

from __future__ import annotations

import pytest

from benchmarks.models_cat import once


@pytest.mark.parametrize(
    ("select", "examinees"),
    [("max-info", 10_000), ("b-opt", 10_000), ("a-stratified", 10_000), ("kullback-leibler", 100)],
)
def test_adaptive_tests(benchmark, select, examinees):
    benchmark.pedantic(once, (select, examinees), rounds=5, warmup_rounds=1)
