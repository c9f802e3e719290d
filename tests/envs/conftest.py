"""Settings of the tests of environments."""

import pytest

from alsim.simulator import simulator
from alsim.types import BLOCK


@pytest.fixture(autouse=True)
def threads_for_few_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small batches use threads, too."""
    monkeypatch.setattr(simulator, "MIN_LANES_PER_THREAD", BLOCK)
