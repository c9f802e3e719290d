"""What a step costs: by number of lanes, beside the other contenders, with threads, and by lanes that begin anew."""

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
"""Seconds a call of each contender, by number of lanes."""


def batches(lanes: int) -> list[Any]:
    """Return a few batches of uniform actions: fewer where they are large, since they too take up cache."""
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
        except ImportError:  # no compiler, no JAX
            continue
        calls[name] = over(actions, contender.step)
        open_envs.append(contender)
    times = alternate(calls, rounds, budget, warm=200)  # episodes then end at different times
    for contender in open_envs:
        if hasattr(contender, "close"):
            contender.close()
    return times


def takes_part(name: str, lanes: int) -> bool:
    """Whether a contender is timed at so many lanes: the slow ones not at many, threads not at few."""
    if name in SLOW:
        return lanes in SLOW_SIZES[name]
    if name == TWO:
        return lanes >= THREADED_FROM and cores() > 1
    return lanes in SIZES


def curve(measured: Measured) -> dict[str, list[tuple[int, float]]]:
    """Return nanoseconds a learner-step of each contender, by number of lanes."""
    found: dict[str, list[tuple[int, float]]] = {}
    for lanes, times in measured.items():
        for name in times:
            found.setdefault(name, []).append((lanes, median(times, name) / lanes * 1e9))
    return found


def rows(measured: Measured, rounds: int, budget: float) -> Iterator[Row]:
    """Yield the table's rows about steps."""
    for lanes, name, target in (
        (4096, ONE, "≥ 0.9"),
        (256, ONE, "≥ 0.8"),
        (65_536, TWO, "≥ 1.2"),
        (1_000_000, TWO, "≥ 1.2"),
    ):
        yield _beside_native(measured, lanes, name, target)
    for lanes in (65_536, 1_000_000):
        yield _by_threads(measured, lanes)
    yield from _small(measured, rounds, budget)
    yield from _resets(rounds, budget)
    yield from _others(measured)


def _beside_native(measured: Measured, lanes: int, name: str, target: str) -> Row:
    what, times = f"vector step, N = {lanes:,}, {name}: speed relative to C on one thread", measured[lanes]
    if absent := [n for n in (NATIVE, name) if n not in times]:
        return missing(what, f"not measured here: {', '.join(absent)}", target)
    speed, own = ratios(times, name, NATIVE), median(times, name) / lanes * 1e9
    floor = floors(lanes, 2 if name == TWO else 1)
    call = median(measured[1], ONE) / lanes * 1e9
    limit = (
        f"{own:.1f} ns a lane beside C's {median(times, NATIVE) / lanes * 1e9:.1f}; floors: {floor.words}, "
        f"call from Python {call:.2g} ns; memory at {floor.memory / own:.0%} of its bandwidth"
    )
    return judged(what, statistics.median(speed), target, "×", spread=quartiles(speed), limit=limit)


def _by_threads(measured: Measured, lanes: int) -> Row:
    what, target = f"vector step, N = {lanes:,}: 2 threads beside 1", "≥ 1.8"
    if TWO not in measured[lanes]:
        return missing(what, "one core", target)
    gain = ratios(measured[lanes], TWO, ONE)
    one, two = floors(lanes), floors(lanes, 2)
    limit = f"memory: a copy goes {two.bandwidth / one.bandwidth:.2f}× as fast with two threads"
    return judged(what, statistics.median(gain), target, "×", spread=quartiles(gain), limit=limit)


def _small(measured: Measured, rounds: int, budget: float) -> Iterator[Row]:
    """Few lanes: the call from Python is what costs."""
    yield judged("vector step, N = 1, a call", median(measured[1], ONE) * 1e6, "≤ 6", "µs", limit="Python around it")
    yield judged("vector step, N = 16, a call", median(measured[16], ONE) * 1e6, "≤ 9", "µs", limit="Python around it")
    alone = statistics.median(_single(budget) for _ in range(rounds))
    limit = "Gymnasium's wrappers, and the info's dictionaries"
    yield judged("single environment, gymnasium.make, a step", alone * 1e6, "≤ 10", "µs", limit=limit)


def _single(budget: float) -> float:
    """Return seconds a step of the single environment; contents, under which nobody gives up in 100 steps."""
    env = gymnasium.make("alsim/AdaptiveLearning-v0")
    actions = list(np.random.default_rng(0).integers(90, 270, 100))
    took = []
    while sum(took) * len(actions) < budget:
        env.reset(seed=0)
        took.append(seconds(over(actions, env.step), len(actions)))
    return statistics.median(took)


def _resets(rounds: int, budget: float) -> Iterator[Row]:
    """What beginning anew costs: how a step's time grows with the lanes that begin in it."""
    lanes = 4096
    actions, contender = batches(lanes), contenders.Alsim(lanes)
    contender.envs.reset(seed=0)
    begun, took = [], []
    ended, spent = 0, 0.0
    for k in itertools.count():
        began = time.perf_counter()
        _, _, terminated, truncated, _ = contender.step(actions[k % len(actions)])
        now = time.perf_counter() - began
        if k > 600:  # episodes then end at any time
            begun.append(ended)
            took.append(now)
            spent += now
        ended = int((terminated | truncated).sum())
        if spent > 2 * rounds * budget:
            break
    slope, error, share = grown(np.array(begun, float), np.array(took))
    limit = (
        f"30 Beta variates and a normal one, {np.mean(begun):.1f} lanes a step at N = 4096; by regression over "
        f"{len(took):,} steps, standard error {error * 1e6:.3f} µs"
    )
    yield judged("a reset within a step, a lane", slope * 1e6, "≤ 0.4", "µs", limit=limit)
    yield judged("what autoreset adds to a step", 100 * share, "< 15", "%", limit="that, times the lanes that begin")
    whole = alternate({"reset": lambda: contender.envs.reset(seed=0)}, rounds, budget)
    yield plain("a whole batch of 4096 begun anew, a lane", median(whole, "reset") / lanes * 1e6, "µs")


FEWEST = 20
"""Steps with the same number of lanes begun whose median counts."""


def grown(begun: NDArray[Any], took: NDArray[Any]) -> tuple[float, float, float]:
    """Return by how much a step's time grows with each lane begun, its standard error, and what share that adds.

    A line through the medians of steps in which equally many lanes begin: some steps are disturbed by others'
    work, and a median does not mind.
    """
    values, counts = np.unique(begun, return_counts=True)
    x, weight = values[counts >= FEWEST], counts[counts >= FEWEST]
    y = np.array([np.median(took[begun == value]) for value in x])
    centred = x - np.average(x, weights=weight)
    middle, spread = np.average(y, weights=weight), (weight * centred**2).sum()
    slope = (weight * centred * y).sum() / spread
    rest = y - middle - slope * centred
    error = np.sqrt((weight * rest**2).sum() / (len(x) - 2) / spread)
    added = slope * np.average(x, weights=weight)
    return float(slope), float(error), float(added / (middle - added))


def _others(measured: Measured) -> Iterator[Row]:
    """How much faster alsim is than what else one might do."""
    for name, lanes in (
        ("NumPy", 4096),
        ("JAX", 4096),
        ("specification's class", 256),
        ("SyncVectorEnv", 256),
        ("AsyncVectorEnv", 16),
    ):
        what = f"alsim beside {name}, N = {lanes:,}"
        if name not in measured[lanes]:
            yield missing(what, "not installed")
            continue
        gain = ratios(measured[lanes], ONE, name)
        limit = f"{name}: {number(median(measured[lanes], name) / lanes * 1e9)} ns a learner-step"
        yield plain(what, statistics.median(gain), "×", spread=quartiles(gain), limit=limit)
