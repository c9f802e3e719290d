"""Ray clusters: each shard is a task, which writes its files and returns their entries in the manifest."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import Any

from alsim.datasets.manifest import DatasetError
from alsim.datasets.shards import Job, Shard, ShardMaker
from alsim.utils.optional import require
from alsim.utils.workers import dump, load

MOST_RETRIES = 3
"""Number of retries of a task after its worker or machine was lost."""


def require_ray() -> Any:
    """Return the package ray. Raises MissingExtra if it is not installed."""
    return require("ray", "ray", "engine='ray'")


def run_on_ray(job: Job, numbers: Sequence[int], workers: int | None, address: str | None) -> Generator[Shard]:
    """Yield shards in order of completion.

    workers  maximum number of concurrent tasks; None is the number of processors
    address  address of a cluster; None is Ray's default: RAY_ADDRESS, or a temporary cluster on this machine

    An existing connection to Ray is used. Raises DatasetError if no cluster can be reached, and if the workers of a
    shard were lost more than MOST_RETRIES times. An exception in a task is raised again here.
    """
    ray = require_ray()
    connects = not ray.is_initialized()
    if connects:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise DatasetError(
                f"ray_address = {address!r}: no Ray cluster could be reached: {first_line(error)}; "
                "start one with `ray start --head`, or leave ray_address out"
            ) from None
    try:
        most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        task = ray.remote(num_cpus=1, max_retries=MOST_RETRIES)(make)
        # Pickled by value, so that the class of a policy may be defined in a script; and only once, not for each task.
        pickled = ray.put(dump(job, ray.cloudpickle.dumps))
        waiting, running = iter(numbers), dict[Any, int]()
        while True:
            while len(running) < most and (number := next(waiting, None)) is not None:
                running[task.remote(pickled, number)] = number
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            yield _result(ray, done, running.pop(done), job)
    finally:
        if connects:
            ray.shutdown()


def _result(ray: Any, done: Any, number: int, job: Job) -> Shard:
    """Return the shard of a finished task. Raises DatasetError if its files are not visible here."""
    try:
        shard = Shard(*ray.get(done))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise DatasetError(
            f"{job.directory}: Ray failed to make shard {number}: {reason}; "
            "if memory is short, use fewer workers or a smaller episodes_per_shard"
        ) from None
    for entry in shard.files.values():
        if not (job.directory / entry["path"]).is_file():
            raise DatasetError(
                f"{job.directory / entry['path']} was written by a worker and does not exist here; "
                "use a directory on a file system that all machines share"
            )
    return shard


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().partition("\n")[0]


def make(job: bytes, number: int) -> tuple[Any, ...]:
    """Make a shard in a Ray worker, and return its fields."""
    return tuple(_maker(job)(number))


@lru_cache(maxsize=1)
def _maker(job: bytes) -> ShardMaker:
    """Return the maker of shards of this worker. It is cached, so that all tasks reuse its memory."""
    return ShardMaker(load(job))
