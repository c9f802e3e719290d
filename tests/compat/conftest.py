"""Fixtures that the tests of several libraries share."""

from collections.abc import Iterator

import pytest
from first_examples import parametrize as pytest_generate_tests  # noqa: F401  # a hook of pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Start a Ray cluster on this machine once per session: starting it and each of its processes takes seconds.

    It has four logical processors. RLlib's offline API uses one to read files, and one for each mapper; with
    fewer, it waits forever.
    """
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
