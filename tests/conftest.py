"""Settings and fixtures of all tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import settings

from alsim.dynamics import DYNAMICS
from alsim.jit.compile import COMPILED
from alsim.policies import POLICIES

# The first example may compile for seconds, and machines differ: only the number of examples bounds the time.
settings.register_profile("alsim", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("alsim")

# Two processes compile the kernels of environments, and those of rollouts, in half of the time that one takes.
WARM_UP = (
    "import alsim; alsim.warmup()",
    "import alsim; [alsim.rollout(policy, num_learners=1).metrics for policy in ('uniform', 'rules')]",
)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fill the compile cache before the workers of pytest-xdist start, which would all compile the same kernels."""
    if COMPILED and session.config.getoption("numprocesses", None) and not session.config.getoption("collectonly"):
        started = [subprocess.Popen([sys.executable, "-c", code]) for code in WARM_UP]
        for process in started:
            process.wait()  # a failure is left to the tests, which name its cause


UNMEASURED = (
    *("datasets/test_truth.py", "dynamics/test_contract.py", "dynamics/test_published.py", "dynamics/test_twins.py"),
    *("envs/test_flat_infos.py", "envs/test_threads_and_processes.py", "numerics/test_variates.py"),
    *("simulator/test_batch.py", "test_oracle.py", "test_spec.py", "training/test_algorithms.py"),
)
"""Tests of many interactions. In the interpreter, measuring coverage would double their time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --part K/N, which runs the K-th of N parts of the slow tests."""
    parser.addoption("--part", metavar="K/N", help="of the tests marked ci or heavy, run part K of N, K in 0 … N - 1")


def is_slow(item: pytest.Item) -> bool:
    """Return whether a test belongs to the parts."""
    return item.get_closest_marker("ci") is not None or item.get_closest_marker("heavy") is not None


def part_of(test: str, parts: int) -> int:
    """Return the part of a test function, the same in any process and for all its parameters."""
    return crc32(test.partition("[")[0].encode()) % parts


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one part of the slow tests, and do not measure coverage during long tests.

    Other tests run nearly all lines that long tests run.
    """
    if config.getoption("part"):
        part, parts = map(int, config.getoption("part").split("/"))
        others = [item for item in items if is_slow(item) and part_of(item.nodeid, parts) != part]
        config.hook.pytest_deselected(items=others)
        left_out = set(others)
        items[:] = [item for item in items if item not in left_out]
    if config.pluginmanager.hasplugin("_cov"):
        for item in items:
            if item.path.as_posix().endswith(UNMEASURED):
                item.add_marker(pytest.mark.no_cover)


OWN = [(registry, dict(registry)) for registry in (DYNAMICS, POLICIES)]
"""Each registry, with what the package registers in it."""


@pytest.fixture(autouse=True)
def registries_restored() -> Iterator[None]:
    """Begin and end every test with the registrations of the package, without those of test modules."""
    for registry, own in OWN:
        registry.clear()
        registry.update(own)
    yield
    for registry, own in OWN:
        registry.clear()
        registry.update(own)


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of data and results that others published; without it, the tests that read it are skipped."""
    if "ALSIM_TEST_DATA" not in os.environ:
        pytest.skip("ALSIM_TEST_DATA, the folder of published data, is not set")
    return Path(os.environ["ALSIM_TEST_DATA"])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the text that tests recorded as "summary", passed or not: a title, an empty line, and a table."""
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, text in report.user_properties:
            if name == "summary":
                title, _, table = text.partition("\n\n")
                terminalreporter.section(title)
                terminalreporter.write_line(table)
