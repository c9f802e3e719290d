"""Steps of all contenders, grouped by number of lanes; pytest-benchmark shows the ratios."""

from __future__ import annotations

import pytest

from benchmarks import steps
from benchmarks.measure import over

CONTENDERS = {**steps.FAST, **steps.SLOW}
CASES = [
    pytest.param(name, lanes, marks=pytest.mark.benchmark(group=f"N = {lanes:,}"), id=f"{name}-{lanes}")
    for lanes in (16, 4096, 65_536)
    for name in CONTENDERS
    if steps.takes_part(name, lanes)
]


@pytest.mark.parametrize(("name", "lanes"), CASES)
def test_contender(benchmark, name, lanes):
    try:
        contender = CONTENDERS[name](lanes)
    except ImportError as missing:
        pytest.skip(str(missing))
    benchmark.extra_info["learners"] = lanes
    benchmark(over(steps.batches(lanes), contender.step))
    if hasattr(contender, "close"):
        contender.close()
