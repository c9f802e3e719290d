"""Cost of estimating ability, by method."""

from __future__ import annotations

import pytest

from alsim.models import irt
from benchmarks.models_ability import answers


@pytest.mark.parametrize("method", ["eap", "map", "ml", "wle"])
def test_ability(benchmark, method):
    benchmark.pedantic(irt.estimate_ability, (*answers(100_000), method), rounds=5, warmup_rounds=1)
