"""Who makes the shards: this process, processes of its own, or a cluster. All write the same bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from alsim.arguments import read_positive
from alsim.datasets.executors.threads import side_by_side
from alsim.datasets.shards import Job, Shard, ShardMaker
from alsim.errors import AlsimError, InputTypeError
from alsim.rollouts.collector import is_compiled
from alsim.rollouts.plan import RolloutPlan

ENGINES = ("local", "ray")

Engine = Callable[[Job, Sequence[int]], Generator[Shard]]
"""Makes the shards of these numbers, or finds them whole already, and hands them out in any order."""


def read_engine(engine: str, plan: RolloutPlan, num_workers: int | None, ray_address: str | None) -> Engine:
    """Return the engine that the arguments name. Raises AlsimError for arguments that do not go together."""
    if engine not in ENGINES:
        raise AlsimError(f"engine is one of {', '.join(map(repr, ENGINES))}; got {engine!r}")
    workers = None if num_workers is None else read_positive(num_workers, "num_workers")
    if ray_address is not None and engine != "ray":
        raise AlsimError(f"ray_address goes with engine='ray'; got {ray_address!r} and {engine!r}")
    if engine == "local" and (workers is None or workers == 1):
        return _in_this_process
    if plan.num_threads > 1:
        raise AlsimError(f"each worker has one thread; got num_threads = {plan.num_threads} and {workers} workers")
    _check_pickles(plan)
    if engine == "local" and workers is not None:
        from alsim.datasets.executors.processes import in_processes

        return partial(in_processes, workers=workers)
    from alsim.datasets.executors.ray import on_ray, require_ray

    require_ray()
    return partial(on_ray, workers=workers, address=ray_address)


def _in_this_process(job: Job, numbers: Sequence[int]) -> Generator[Shard]:
    """Make shards in threads; a policy in Python may remember what it did, and gets one after the other."""
    if not is_compiled(job.plan):
        return side_by_side(lambda: ShardMaker(job), numbers, 1)
    alone = job._replace(plan=job.plan._replace(num_threads=1))
    return side_by_side(lambda: ShardMaker(alone), numbers, job.plan.num_threads)


def _check_pickles(plan: RolloutPlan) -> None:
    """Refuse what workers cannot be given."""
    what: dict[str, Any] = {f"the policy {plan.policy.name!r}": plan.policy, "the configuration": plan.config}
    for name, value in what.items():
        try:
            pickle.dumps(value)
        except Exception as error:  # whatever a class of the user's raises
            raise InputTypeError(f"workers are given {name} by pickle, and it cannot be: {error}") from None
