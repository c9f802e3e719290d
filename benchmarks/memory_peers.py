"""Reviews per second of alsim and of two simulators of FSRS-6: `nox -s memory-peers` installs them and prints a table.

fsrs-rs and FSRS-Optimizer simulate one person with a deck of 10,000 cards over DAYS days, at a retention of 0.9 and at
most 30 minutes per day, by their defaults. alsim runs 4,096 learners with 30 outcomes under `fsrs`, with a break of a
day after every 20 interactions, which all are questions. The recall of all outcomes is observed after breaks, or after
each interaction. `alsim, scheduler` is a rollout of the policy `fsrs`, which chooses each review. All use one core. The
peers choose reviews, too, and sum recall once per day. The simulator of
FSRS-Optimizer takes a minute or more.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import alsim
from benchmarks.dynamics import forgetting
from benchmarks.measure import machine
from benchmarks.report import markdown

RETENTION, DAYS, SEED = 0.9, 90, 42
LANES, STEPS = 4096, 400
SCHEDULED = 10_000
ROUNDS = 3


def of_steps(observe_at: str = "break") -> Callable[[], int]:
    """Return a function that steps a vector environment, and returns the number of reviews."""
    env = alsim.AdaptiveLearningVectorEnv(LANES, config=forgetting("fsrs", observe_at))
    env.reset(seed=SEED)
    actions = np.random.default_rng(SEED).integers(0, 3 * 30, (STEPS, LANES))
    env.step(actions[0])

    def run() -> int:
        for row in actions:
            env.step(row)
        return STEPS * LANES

    return run


def of_scheduler() -> Callable[[], int]:
    """Return a function that lets the policy fsrs choose all reviews of some learners, and returns their number."""
    config = {**forgetting("fsrs", "break"), "max_episode_steps": 140}
    alsim.rollout("fsrs", num_learners=10, seed=SEED, config=config)

    def run() -> int:
        found = alsim.rollout("fsrs", num_learners=SCHEDULED, seed=SEED, config=config, keep_observations=False)
        return len(found.interactions.item)

    return run


def of_fsrs_rs() -> Callable[[], int]:
    """Return a function that runs the simulator of fsrs-rs, and returns the number of reviews."""
    import fsrs_rs_python as peer

    config = peer.default_simulator_config()
    config.learn_span = DAYS

    def run() -> int:
        found = peer.simulate(list(peer.DEFAULT_PARAMETERS), RETENTION, config, SEED)
        return int(sum(found.review_cnt_per_day) + sum(found.learn_cnt_per_day))

    return run


def of_optimizer() -> Callable[[], int]:
    """Return a function that runs the simulator of FSRS-Optimizer, and returns the number of reviews."""
    from fsrs_optimizer import fsrs_simulator as peer

    from alsim.models.fsrs import WEIGHTS

    def run() -> int:
        _, reviews, learned, *_ = peer.simulate(list(WEIGHTS), RETENTION, learn_span=DAYS, seed=SEED)
        return int(reviews.sum() + learned.sum())

    return run


CONTENDERS: dict[str, tuple[Callable[[], Callable[[], int]], int]] = {
    "alsim, steps": (of_steps, ROUNDS),
    "alsim, steps, recall observed after each": (partial(of_steps, "interaction"), ROUNDS),
    "alsim, scheduler": (of_scheduler, ROUNDS),
    "fsrs-rs 0.9.3": (of_fsrs_rs, ROUNDS),
    "FSRS-Optimizer 6.5.0": (of_optimizer, 1),
}
"""Function that prepares each contender, and the number of rounds."""


def measure() -> dict[str, float]:
    """Return the median number of reviews per second of each contender, in alternating rounds."""
    runs = {name: prepare() for name, (prepare, _) in CONTENDERS.items()}
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS):
        for name, run in runs.items():
            if number < CONTENDERS[name][1]:
                start = time.perf_counter()
                reviews = run()
                speeds[name].append(reviews / (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in speeds.items()}


def table(speeds: dict[str, float]) -> str:
    """Return the speeds, and how many times as fast alsim's steps are, as Markdown."""
    own = speeds["alsim, steps"]
    rows: list[list[Any]] = [[name, f"{speed:,.0f}", f"{own / speed:,.3g}"] for name, speed in speeds.items()]
    return markdown(["simulator", "reviews per second", "alsim, steps, is × as fast"], rows)


def main() -> None:
    """Print the table, and the machine."""
    speeds = measure()
    print(table(speeds))
    print(json.dumps({"machine": machine(), "reviews_per_second": speeds}, default=str))


if __name__ == "__main__":
    main()
