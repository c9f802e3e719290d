"""Settings that every test shares."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from alsim.dynamics import DYNAMICS
from alsim.policies import POLICIES

# Compiling takes seconds in the first example, and machines differ: only the examples' number bounds the time.
settings.register_profile("alsim", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("alsim")


@pytest.fixture(autouse=True)
def what_a_test_registers_goes_with_it() -> Iterator[None]:
    """Contracts run over everything registered: over the package's own, not over what another test left."""
    kept = [(registry, dict(registry)) for registry in (DYNAMICS, POLICIES)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)
