"""Cost of a step by number of lanes, contender and threads, and cost of resets."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders
from benchmarks.floors import floors
from benchmarks.measure import Times, alternate, cores, median, over, ratios, seconds
from benchmarks.report import Row, judged, missing, number, plain, quartiles
from benchmarks.specification import Async, Specification, Sync

SIZES = (1, 16, 256, 4096, 65_536, 1_000_000)
THREADED_FROM = 4096
SLOW = {"SyncVectorEnv": Sync, "AsyncVectorEnv": Async, "specification's class": Specification}
SLOW_SIZES = {"SyncVectorEnv": (1, 16, 256), "AsyncVectorEnv": (1, 4, 16), "specification's class": (1, 16, 256)}

ONE, TWO, NATIVE = "alsim", "alsim, 2 threads", "native C"
FAST: dict[str, Callable[[int], Any]] = {
    NATIVE: contenders.Native,
    ONE: contenders.Alsim,
    TWO: lambda lanes: contenders.Alsim(lanes, num_threads=2),
    "NumPy": contenders.Numpy,
    "JAX": contenders.Jax,
}

Measured = dict[int, Times]
"""Seconds per call of each contender, by number of lanes."""


def batches(lanes: int) -> list[Any]:
    """Return 8 batches of uniform actions, or 3 for many lanes, because large batches occupy the cache."""
    return [contenders.uniform_actions(lanes, seed) for seed in range(8 if lanes <= 65_536 else 3)]


def measure(rounds: int = 9, budget: float = 0.1, sizes: tuple[int, ...] = SIZES) -> Measured:
    """Time all contenders at all sizes."""
    return {lanes: _measure(lanes, rounds, budget) for lanes in sorted({*sizes, 4})}


def _measure(lanes: int, rounds: int, budget: float) -> Times:
    calls, open_envs = {}, []
    actions = batches(lanes)
    for name, make in {**FAST, **SLOW}.items():
        if not takes_part(name, lanes):
            continue
        try:
            contender = make(lanes)
        except ImportError:  # no compiler or no JAX
            continue
        calls[name] = over(actions, contender.step)
        open_envs.append(contender)
    times = alternate(calls, rounds, budget, warm=200)  # episodes then end at different times
    for contender in open_envs:
        if hasattr(contender, "close"):
            contender.close()
    return times


def takes_part(name: str, lanes: int) -> bool:
    """Return whether a contender is timed at a number of lanes: slow ones at few, threads at many."""
    if name in SLOW:
        return lanes in SLOW_SIZES[name]
    if name == TWO:
        return lanes >= THREADED_FROM and cores() > 1
    return lanes in SIZES


def curve(measured: Measured) -> dict[str, list[tuple[int, float]]]:
    """Return nanoseconds per learner-step of each contender, by number of lanes."""
    points: dict[str, list[tuple[int, float]]] = {}
    for lanes, times in measured.items():
        for name in times:
            points.setdefault(name, []).append((lanes, median(times, name) / lanes * 1e9))
    return points


def rows(measured: Measured, rounds: int, budget: float) -> Iterator[Row]:
    """Yield the rows of the table about steps."""
    for lanes, name, target in (
        (4096, ONE, "≥ 0.9"),
        (256, ONE, "≥ 0.8"),
        (65_536, TWO, "≥ 1.2"),
        (1_000_000, TWO, "≥ 1.2"),
    ):
        yield _relative_to_native(measured, lanes, name, target)
    for lanes in (65_536, 1_000_000):
        yield _by_threads(measured, lanes)
    yield from _small(measured, rounds, budget)
    yield from _resets(rounds, budget)
    yield from _others(measured)


def _relative_to_native(measured: Measured, lanes: int, name: str, target: str) -> Row:
    quantity, times = f"vector step, N = {lanes:,}, {name}: speed relative to C on one thread", measured[lanes]
    if absent := [n for n in (NATIVE, name) if n not in times]:
        return missing(quantity, f"not measured here: {', '.join(absent)}", target)
    speed, own = ratios(times, name, NATIVE), median(times, name) / lanes * 1e9
    floor = floors(lanes, 2 if name == TWO else 1)
    call = median(measured[1], ONE) / lanes * 1e9
    limit = (
        f"{own:.1f} ns per lane, C {median(times, NATIVE) / lanes * 1e9:.1f} ns; floors: {floor.text}, "
        f"call from Python {call:.2g} ns; memory at {floor.memory / own:.0%} of its bandwidth"
    )
    return judged(quantity, statistics.median(speed), target, "×", spread=quartiles(speed), limit=limit)


def _by_threads(measured: Measured, lanes: int) -> Row:
    quantity, target = f"vector step, N = {lanes:,}: 2 threads compared with 1", "≥ 1.8"
    if TWO not in measured[lanes]:
        return missing(quantity, "one core", target)
    gain = ratios(measured[lanes], TWO, ONE)
    one, two = floors(lanes), floors(lanes, 2)
    limit = f"memory: a copy is {two.bandwidth / one.bandwidth:.2f}× as fast with two threads"
    return judged(quantity, statistics.median(gain), target, "×", spread=quartiles(gain), limit=limit)


def _small(measured: Measured, rounds: int, budget: float) -> Iterator[Row]:
    """Yield the rows about few lanes, where the call from Python dominates."""
    yield judged(
        "vector step, N = 1, per call",
        median(measured[1], ONE) * 1e6,
        "≤ 6",
        "µs",
        limit="Python code around the kernel",
    )
    yield judged(
        "vector step, N = 16, per call",
        median(measured[16], ONE) * 1e6,
        "≤ 9",
        "µs",
        limit="Python code around the kernel",
    )
    alone = statistics.median(_single(budget) for _ in range(rounds))
    limit = "Gymnasium's wrappers, and the dictionaries of info"
    yield judged("single environment, gymnasium.make, per step", alone * 1e6, "≤ 10", "µs", limit=limit)


def _single(budget: float) -> float:
    """Return seconds per step of the single environment. All actions are contents, so no episode ends in 100 steps."""
    env = gymnasium.make("alsim/AdaptiveLearning-v0")
    actions = list(np.random.default_rng(0).integers(90, 270, 100))
    times = []
    while sum(times) * len(actions) < budget:
        env.reset(seed=0)
        times.append(seconds(over(actions, env.step), len(actions)))
    return statistics.median(times)


def _resets(rounds: int, budget: float) -> Iterator[Row]:
    """Yield the rows about resets, whose cost is the growth of a step's time per lane that is reset in it."""
    lanes = 4096
    actions, contender = batches(lanes), contenders.Alsim(lanes)
    contender.envs.reset(seed=0)
    num_reset, times = [], []
    ended, total = 0, 0.0
    for k in itertools.count():
        start = time.perf_counter()
        _, _, terminated, truncated, _ = contender.step(actions[k % len(actions)])
        elapsed = time.perf_counter() - start
        if k > 600:  # episodes then end at different times
            num_reset.append(ended)
            times.append(elapsed)
            total += elapsed
        ended = int((terminated | truncated).sum())
        if total > 2 * rounds * budget:
            break
    slope, error, share = growth(np.array(num_reset, float), np.array(times))
    limit = (
        f"30 Beta variates and a normal one, {np.mean(num_reset):.1f} lanes per step at N = 4096; by regression over "
        f"{len(times):,} steps, standard error {error * 1e6:.3f} µs"
    )
    yield judged("reset within a step, per lane", slope * 1e6, "≤ 0.4", "µs", limit=limit)
    yield judged(
        "time added to a step by autoreset", 100 * share, "< 15", "%", limit="time of a reset × lanes that are reset"
    )
    batch = alternate({"reset": lambda: contender.envs.reset(seed=0)}, rounds, budget)
    yield plain("reset of a batch of 4096, per lane", median(batch, "reset") / lanes * 1e6, "µs")


MIN_STEPS = 20
"""Minimum number of steps with the same number of resets; the median of fewer steps is not used."""


def growth(num_reset: NDArray[Any], times: NDArray[Any]) -> tuple[float, float, float]:
    """Return the growth of the time of a step per lane that is reset, its standard error, and the share it adds.

    The growth is the slope of a line through the medians of steps with equal numbers of resets. Medians are robust
    against steps that other processes disturb.
    """
    values, counts = np.unique(num_reset, return_counts=True)
    x, weight = values[counts >= MIN_STEPS], counts[counts >= MIN_STEPS]
    y = np.array([np.median(times[num_reset == value]) for value in x])
    centred = x - np.average(x, weights=weight)
    middle, spread = np.average(y, weights=weight), (weight * centred**2).sum()
    slope = (weight * centred * y).sum() / spread
    rest = y - middle - slope * centred
    error = np.sqrt((weight * rest**2).sum() / (len(x) - 2) / spread)
    added = slope * np.average(x, weights=weight)
    return float(slope), float(error), float(added / (middle - added))


def _others(measured: Measured) -> Iterator[Row]:
    """Yield the rows that compare alsim with the other contenders."""
    for name, lanes in (
        ("NumPy", 4096),
        ("JAX", 4096),
        ("specification's class", 256),
        ("SyncVectorEnv", 256),
        ("AsyncVectorEnv", 16),
    ):
        quantity = f"alsim compared with {name}, N = {lanes:,}"
        if name not in measured[lanes]:
            yield missing(quantity, "not installed")
            continue
        gain = ratios(measured[lanes], ONE, name)
        limit = f"{name}: {number(median(measured[lanes], name) / lanes * 1e9)} ns per learner-step"
        yield plain(quantity, statistics.median(gain), "×", spread=quartiles(gain), limit=limit)
