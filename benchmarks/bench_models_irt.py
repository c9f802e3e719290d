"""Cost of calibration, by model: 5,000 students × 40 items."""

from __future__ import annotations

import pytest

from alsim.models import irt
from benchmarks.models_irt_calibration import dense


@pytest.mark.parametrize("model", ["rasch", "1pl", "2pl", "3pl"])
def test_calibration(benchmark, model):
    benchmark.pedantic(irt.fit, (dense(5000, 40), model), rounds=3, warmup_rounds=1)
