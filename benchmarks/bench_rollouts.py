"""Cost of a rollout, by policy, with and without observations, on one thread and two."""

from __future__ import annotations

import pytest

from benchmarks.rollouts import once


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("keep", [False, True], ids=["without-obs", "with-obs"])
@pytest.mark.parametrize("policy", ["uniform", "rules"])
def test_rollout(benchmark, policy, keep, threads):
    benchmark.extra_info["transitions"] = benchmark.pedantic(once, (policy, keep, threads), rounds=5, warmup_rounds=1)
