"""What a step costs: by number of lanes, beside the other contenders, with threads, with and without autoreset."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np

from benchmarks import contenders
from benchmarks.floors import floors
from benchmarks.measure import Call, Times, alternate, cores, median, over, ratios, seconds
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

# Nobody's frustration rises by answers, and nothing else ends an episode: the same step without autoreset.
ENDLESS = {
    "max_episode_steps": 1_000_000,
    "dynamics": {"frustration_rise": 0.0, "hard_rise": 0.0},
    "termination": {"mastery_threshold": 1.0, "max_frustration": 1.0},
}


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
    """What beginning anew costs: the same step where episodes end, and where none does."""
    lanes = 4096
    actions = batches(lanes)
    ending, endless = contenders.Alsim(lanes), contenders.Alsim(lanes, config=ENDLESS)
    ended = _spread(ending, actions)
    _spread(endless, actions)
    calls: dict[str, Call] = {"ending": over(actions, ending.step), "endless": over(actions, endless.step)}
    times = alternate(calls, 2 * rounds, budget)
    added = sorted(a - b for a, b in zip(times["ending"], times["endless"], strict=True))
    share = sorted(a / b - 1 for a, b in zip(times["ending"], times["endless"], strict=True))
    limit = f"30 Beta variates and a normal one, {ended:.1f} lanes a step at N = 4096; by difference"
    each = [x / ended * 1e6 for x in added]
    yield judged(
        "a reset within a step, a lane", statistics.median(each), "≤ 0.4", "µs", spread=quartiles(each), limit=limit
    )
    percent = [100 * x for x in share]
    yield judged(
        "what autoreset adds to a step", statistics.median(percent), "< 15", "%", spread=quartiles(percent), limit=limit
    )
    whole = alternate({"reset": lambda: ending.envs.reset(seed=0)}, rounds, budget)
    yield plain("a whole batch of 4096 begun anew, a lane", median(whole, "reset") / lanes * 1e6, "µs")


def _spread(contender: contenders.Alsim, actions: list[Any]) -> float:
    """Step until episodes end at any time, and return how many lanes end in a step."""
    call = [contender.step(actions[k % len(actions)]) for k in range(600)][300:]
    return float(np.mean([(terminated | truncated).sum() for _, _, terminated, truncated, _ in call]))


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
