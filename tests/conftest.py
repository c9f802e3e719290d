"""Settings that every test shares."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of outside data and known answers; CI fails where it is missing."""
    if "ALSIM_TEST_DATA" not in os.environ:
        pytest.skip("ALSIM_TEST_DATA, the folder of published data, is not set")
    return Path(os.environ["ALSIM_TEST_DATA"])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests recorded as their summary, passed or not: a title, an empty line, and what was found."""
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, text in report.user_properties:
            if name == "summary":
                title, _, found = text.partition("\n\n")
                terminalreporter.section(title)
                terminalreporter.write_line(found)
