"""What the tests of one library share."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A cluster of Ray's on this machine, begun once: that takes seconds, and so does each of its processes.

    Logical processors: of RLlib's offline API one reads files, and each mapper holds one for itself; with fewer,
    it waits forever.
    """
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
