"""A cluster of Ray's: shards are tasks, which write their files themselves and return what a sidecar holds."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import Any

from alsim.datasets.executors.processes import load
from alsim.datasets.shards import Job, Shard, ShardMaker
from alsim.datasets.store import DatasetError
from alsim.utils.optional import require

MOST_RETRIES = 3
"""Times that a task is tried again whose worker or machine was lost."""


def require_ray() -> Any:
    """Return Ray. Raises MissingExtra, which says how to install it."""
    return require("ray", "ray", "engine='ray'")


def on_ray(job: Job, numbers: Sequence[int], workers: int | None, address: str | None) -> Generator[Shard]:
    """Hand out shards as they are done, at most `workers` in flight: by default, as many as there are processors.

    address  of a cluster; without, Ray's own rules: RAY_ADDRESS, or a cluster of this machine, begun and ended here

    A connection that is there already is used. Raises DatasetError for a shard whose workers were lost too
    often, and what a task raised.
    """
    ray = require_ray()
    mine = not ray.is_initialized()
    if mine:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise DatasetError(f"no cluster of Ray's can be reached at {address!r}: {first_line(error)}") from None
    try:
        most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        task = ray.remote(num_cpus=1, max_retries=MOST_RETRIES)(make)
        # By value, so that a policy of a script's own gets there, too; once, and not with each task.
        pickled = ray.put(ray.cloudpickle.dumps(job))
        waiting, flying = iter(numbers), dict[Any, int]()
        while True:
            while len(flying) < most and (number := next(waiting, None)) is not None:
                flying[task.remote(pickled, number)] = number
            if not flying:
                return
            (done,), _ = ray.wait(list(flying), num_returns=1)
            yield _landed(ray, done, flying.pop(done), job)
    finally:
        if mine:
            ray.shutdown()


def _landed(ray: Any, done: Any, number: int, job: Job) -> Shard:
    """Return the shard of a task that ended, whose files are here, too."""
    try:
        shard = Shard(*ray.get(done))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        what = f"{type(error).__name__}: {first_line(error)}"
        raise DatasetError(f"{job.directory}: Ray gave up shard {number}: {what}") from None
    for entry in shard.files.values():
        if not (job.directory / entry["path"]).is_file():
            raise DatasetError(
                f"{job.directory / entry['path']} was written by a worker and is not here: "
                "workers need a file system in common"
            )
    return shard


def first_line(error: BaseException) -> str:
    """Return what an error says, without its details."""
    return str(error).strip().partition("\n")[0]


def make(job: bytes, number: int) -> tuple[Any, ...]:
    """Make a shard, in a worker of Ray's."""
    return tuple(_maker(job)(number))


@lru_cache(maxsize=1)
def _maker(job: bytes) -> ShardMaker:
    """Return this worker's maker, which keeps its memory from task to task."""
    return ShardMaker(load(job))
