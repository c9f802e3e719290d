"""Executors that generate shards in threads, in processes or on a Ray cluster. All write the same bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from alsim.arguments import read_positive
from alsim.datasets.executors.threads import run_in_threads
from alsim.datasets.shards import Job, Shard, ShardMaker
from alsim.errors import AlsimError, InputTypeError
from alsim.rollouts.collector import is_compiled
from alsim.rollouts.plan import RolloutPlan

ENGINES = ("local", "ray")

Engine = Callable[[Job, Sequence[int]], Generator[Shard]]
"""Function that yields the shards with the given numbers, in any order. Complete shards are not made again."""


def read_engine(engine: str, plan: RolloutPlan, num_workers: int | None, ray_address: str | None) -> Engine:
    """Return the engine for the arguments. Raises AlsimError for arguments that are invalid or exclude each other."""
    if engine not in ENGINES:
        raise AlsimError(f"engine must be one of {', '.join(map(repr, ENGINES))}; got {engine!r}")
    workers = None if num_workers is None else read_positive(num_workers, "num_workers")
    if ray_address is not None and engine != "ray":
        raise AlsimError(f"engine must be 'ray' for ray_address={ray_address!r}; got {engine!r}")
    if engine == "local" and (workers is None or workers == 1):
        return _run_in_this_process
    if plan.num_threads > 1:
        raise AlsimError(
            f"num_threads must be 1 with workers, which have one thread each; got {plan.num_threads}: "
            "use num_threads=1 and more workers"
        )
    _check_pickles(plan)
    if engine == "local" and workers is not None:
        from alsim.datasets.executors.processes import run_in_processes

        return partial(run_in_processes, workers=workers)
    from alsim.datasets.executors.ray import require_ray, run_on_ray

    require_ray()
    return partial(run_on_ray, workers=workers, address=ray_address)


def _run_in_this_process(job: Job, numbers: Sequence[int]) -> Generator[Shard]:
    """Make shards in threads if the policy is compiled.

    A policy in Python may keep state between calls, so only one thread calls it.
    """
    if not is_compiled(job.plan):
        return run_in_threads(lambda: ShardMaker(job), numbers, 1)
    thread_job = job._replace(plan=job.plan._replace(num_threads=1))
    return run_in_threads(lambda: ShardMaker(thread_job), numbers, job.plan.num_threads)


def _check_pickles(plan: RolloutPlan) -> None:
    """Raise InputTypeError if the policy or the configuration cannot be pickled."""
    parts: dict[str, Any] = {f"the policy {plan.policy.name!r}": plan.policy, "the configuration": plan.config}
    for name, value in parts.items():
        try:
            pickle.dumps(value)
        except Exception as error:  # a class of the user may raise any exception
            raise InputTypeError(
                f"{name} cannot be pickled for the workers: {error}; "
                "define its class in a module, or leave num_workers and engine out"
            ) from None
