"""Our share of the time that PPO spends on collecting: `python -m benchmarks.training` (needs `alsim[sb3]`).

Stable-Baselines3 collects a rollout, and the clock runs while it is inside our `VecEnv.step_wait`; the rest is
PyTorch's forward passes and Stable-Baselines3's own loops. Prints a line a number of lanes and of PyTorch's threads.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.measure import machine

LANES, THREADS, ROLLOUTS = (256, 512, 1024), (1, 2), 7
MOST = 0.05
"""Our share at most."""


class Found(NamedTuple):
    """Medians over rollouts."""

    lanes: int
    threads: int
    share: float
    step: float  # microseconds of one step_wait of all lanes
    collected: float  # interactions a second while collecting
    trained: float  # interactions a second, updates included


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return a function that notes how long each of its calls takes."""

    def call(*arguments: Any, **named: Any) -> Any:
        began = perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent.append(perf_counter() - began)

    return call


def measure(lanes: int, threads: int) -> Found:
    """Train for some rollouts, after two that compile and warm up."""
    import torch

    from alsim.envs.sb3 import make
    from alsim.training import PPO
    from alsim.training.sb3 import new_model

    torch.set_num_threads(threads)
    settings, env = PPO(num_envs=lanes), make(lanes, seed=0)
    model = new_model(settings, env, 0, 0)
    each = lanes * settings.n_steps
    model.learn(2 * each)
    stepping: list[float] = []
    collecting: list[float] = []
    env.step_wait = timed(env.step_wait, stepping)  # type: ignore[method-assign]
    model.collect_rollouts = timed(model.collect_rollouts, collecting)
    began = perf_counter()
    model.learn(ROLLOUTS * each)
    whole = perf_counter() - began
    steps = [stepping[k : k + settings.n_steps] for k in range(0, len(stepping), settings.n_steps)]
    shares = [sum(inside) / outside for inside, outside in zip(steps, collecting, strict=True)]
    return Found(
        *(lanes, threads, statistics.median(shares), 1e6 * statistics.median(stepping)),
        *(each / statistics.median(collecting), ROLLOUTS * each / whole),
    )


def all_of_them() -> Iterator[Found]:
    """Measure every number of lanes with every number of threads."""
    for lanes in LANES:
        for threads in THREADS:
            yield measure(lanes, threads)


def main() -> int:
    """Print what was measured; status 1 if our share is too large anywhere."""
    print(json.dumps(machine(), indent=2))
    print("| lanes | PyTorch threads | our share of collecting | µs a step_wait | collected /s | trained /s |")
    print("|---|---|---|---|---|---|")
    worst = 0.0
    for found in all_of_them():
        worst = max(worst, found.share)
        print(
            f"| {found.lanes} | {found.threads} | {found.share:.2%} | {found.step:.0f} | {found.collected:,.0f} "
            f"| {found.trained:,.0f} |",
            flush=True,
        )
    print(f"at most {MOST:.0%}: {'yes' if worst <= MOST else 'NO'}, {worst:.2%}")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
