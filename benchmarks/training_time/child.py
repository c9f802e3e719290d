"""Measurement of one contender in this process: `python -m benchmarks.training_time.child NAME STEPS SEED...`.

STEPS is the number of interactions, or 0 for that of the settings. The output is JSON. The process is bound to one
core, so that every library has one thread.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from time import process_time
from typing import Any

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
"""Environment variables of the process."""


def measure(name: str, seeds: Sequence[int], steps: int | None = None) -> dict[str, Any]:
    """Train a contender with each seed, and return evaluations, times and shares.

    steps  number of interactions; None: that of the settings
    """
    import alsim
    from alsim.config import REWARD_PRESETS
    from alsim.evaluation.held_out import SELECTION, evaluate
    from alsim.policies import Policy
    from benchmarks.measure import machine
    from benchmarks.training_time.clock import Clock, evaluation_points
    from benchmarks.training_time.contenders import CONTENDERS

    contender = CONTENDERS[name]
    loop = import_module(f"benchmarks.training_time.{contender.module}")
    settings = contender.settings.model_copy(update={} if steps is None else {"steps": steps})
    config = alsim.Config().model_copy(update={"reward_weights": REWARD_PRESETS[contender.reward]})
    bank = alsim.sample_bank(config)

    def scores(policy: Policy) -> tuple[float, float]:
        found = evaluate(policy, SELECTION, config, bank, observation="mastery")
        return found["cumulative_reward"]["mean"], found["final_mastery"]["mean"]

    load, start = os.getloadavg()[0], process_time()
    loop.prepare(settings, config)
    result: dict[str, Any] = {
        "settings": settings.model_dump(),
        "preparation": round(process_time() - start, 2),
        "seeds": {},
    }
    for seed in seeds:
        clock = Clock(evaluation_points(settings.total_steps), scores)
        loop.train(settings, seed, config, clock)
        result["seeds"][str(seed)] = {
            "seconds": [round(reading.seconds, 3) for reading in clock.readings],
            "returns": [round(reading.earned, 2) for reading in clock.readings],
            "mastery": [round(reading.mastery, 3) for reading in clock.readings],
        }
        result["steps"] = [reading.steps for reading in clock.readings]
        print(f"{name}, seed {seed}: {clock.readings[-1]}", file=sys.stderr)
    result["shares"] = {part: round(share, 3) for part, share in loop.shares(settings, config).items()}
    return {"machine": {**machine(), "kernels": kernels(), "load at the start": f"{load:.1f}"}, **result}


def kernels() -> str:
    """Return the kinds of processors for which the libraries of matrix products have chosen their code."""
    from threadpoolctl import threadpool_info

    found = {f"{one['internal_api']} for {one['architecture']}" for one in threadpool_info() if "architecture" in one}
    return ", ".join(sorted(found))


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with redirect_stdout(sys.stderr):
        measured = measure(sys.argv[1], [int(seed) for seed in sys.argv[3:]], int(sys.argv[2]) or None)
    print(json.dumps(measured))
