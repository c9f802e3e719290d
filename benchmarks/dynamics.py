"""Cost of a step under each dynamics and population, relative to the standard, and the time that they compile.

`python -m benchmarks.dynamics NAME` makes a vector environment under this contender, steps it once, and prints the
seconds of processor time that both took.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.child import output_of, start
from benchmarks.contenders import Alsim, uniform_actions
from benchmarks.measure import Times, alternate, median, over, ratios
from benchmarks.report import Row, judged, markdown, number, plain, quartiles

SIZES = (256, 4096, 65_536)
JUDGED = 4096
STANDARD = "standard"
NUM_ROWS, NUM_LOS, NUM_EDGES = 1_000, 30, 57
NUM_SHAPES = 20
"""Distinct distributions of starting mastery in a population: each has a table of 17 kB."""

Measured = dict[int, Times]
"""Seconds per step of each contender, by number of lanes."""


def randomised(num_rows: int, num_shapes: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return a population whose rows differ in three parameters, and in both starting distributions."""
    draw = random.Random(seed)
    shapes = [(draw.uniform(1.5, 2.5), draw.uniform(6, 10)) for _ in range(num_shapes)]
    return [
        {
            "share": 1 / num_rows,
            "dynamics": {
                "learning_rate": draw.uniform(0.03, 0.07),
                "ability_gain": draw.uniform(0.01, 0.03),
                "frustration_rise": draw.uniform(0.05, 0.15),
            },
            "learner": {
                "ability_mean": draw.gauss(0, 0.5),
                "mastery_alpha": shapes[k % num_shapes][0],
                "mastery_beta": shapes[k % num_shapes][1],
            },
        }
        for k in range(num_rows)
    ]


def edges(num_edges: int = NUM_EDGES, num_los: int = NUM_LOS, seed: int = 0) -> list[list[int]]:
    """Return the edges of a random graph of prerequisites without cycles, each from an earlier to a later outcome."""
    pairs = [[parent, child] for child in range(num_los) for parent in range(child)]
    return sorted(random.Random(seed).sample(pairs, num_edges))


def configurations() -> dict[str, tuple[Mapping[str, Any], str]]:
    """Return the configuration of each contender, and the target of its cost relative to the standard, or ""."""
    return {
        STANDARD: ({}, ""),
        f"standard, population of {NUM_ROWS:,} rows": ({"population": randomised(NUM_ROWS, NUM_SHAPES)}, "≤ 1.1"),
        "standard, a break after every 20 interactions": ({"sessions": {"interactions": 20, "break_hours": 24}}, ""),
        "linked": ({"dynamics": "linked"}, "≤ 1.1"),
        f"prerequisites, {NUM_EDGES} edges": ({"dynamics": "prerequisites", "curriculum": edges()}, "≤ 1.3"),
        "bkt": ({"dynamics": "bkt"}, "≤ 2"),
        "fatigue": ({"dynamics": "fatigue"}, "≤ 2"),
        "half-life, recall observed after breaks": (forgetting("half-life", "break"), "≤ 2.2"),
        "half-life, recall observed after each": (forgetting("half-life", "interaction"), "≤ 4"),
        "fsrs, recall observed after breaks": (forgetting("fsrs", "break"), "≤ 2.2"),
        "fsrs, recall observed after each": (forgetting("fsrs", "interaction"), "≤ 5.5"),
        "fsrs, the same, reward of recall": (
            {**forgetting("fsrs", "interaction"), "reward_weights": "recall"},
            "",
        ),
    }


def forgetting(dynamics: str, observe_at: str) -> dict[str, Any]:
    """Return the configuration of learners who forget, with a break of a day after every 20 interactions.

    Episodes last as long as those of the standard: with its limits, they would end after a session.
    """
    sessions = {"interactions": 20, "break_hours": 24, "observe_at": observe_at}
    return {"dynamics": dynamics, "sessions": sessions, "termination": {"mastery_threshold": 1.0}}


def measure(rounds: int = 9, budget: float = 0.1, sizes: tuple[int, ...] = SIZES) -> Measured:
    """Time a step of all contenders at all sizes."""
    return {lanes: _measure(lanes, rounds, budget) for lanes in sizes}


def _measure(lanes: int, rounds: int, budget: float) -> Times:
    actions = [uniform_actions(lanes, seed) for seed in range(8)]
    calls = {name: over(actions, Alsim(lanes, config=config).step) for name, (config, _) in configurations().items()}
    return alternate(calls, rounds, budget, warm=200)  # episodes then end at different times


def rows(measured: Measured) -> Iterator[Row]:
    """Yield the rows of the table about dynamics and populations."""
    times = measured[JUDGED]
    for name, (_, target) in configurations().items():
        if name == STANDARD:
            continue
        quantity = f"vector step, N = {JUDGED:,}, {name}: time relative to the standard"
        cost = sorted(1 / speed for speed in ratios(times, name, STANDARD))
        value, spread = statistics.median(cost), quartiles(cost)
        limit = f"{median(times, name) / JUDGED * 1e9:.1f} ns per learner, with resets"
        if target:
            yield judged(quantity, value, target, "×", spread=spread, limit=limit)
        else:
            yield plain(quantity, value, "×", spread=spread, limit=limit)


def compile_rows(rounds: int = 1) -> Iterator[Row]:
    """Yield the rows about compilation: processor time of the first step with an empty cache."""
    for name in configurations():
        spent = [_compile(name) for _ in range(rounds)]
        yield plain(f"first step with nothing compiled, {name}: processor time", statistics.median(spent), "s")


def _compile(name: str) -> float:
    """Return the seconds of processor time of a first step in a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        return float(output_of(start("-m", "benchmarks.dynamics", name, ALSIM_CACHE_DIR=cache)))


def table(measured: Measured) -> str:
    """Return the cost of a step under each contender by number of lanes, and relative to the standard, as Markdown."""
    lines = [
        [
            name,
            *(
                f"{number(median(times, name) / lanes * 1e9)} ({number(1 / _speed(times, name))}×)"
                for lanes, times in measured.items()
            ),
        ]
        for name in configurations()
    ]
    return markdown(["ns per learner-step, N =", *(f"{lanes:,}" for lanes in measured)], lines)


def _speed(times: Times, name: str) -> float:
    """Return the speed relative to the standard: the median over rounds."""
    return statistics.median(ratios(times, name, STANDARD))


def main() -> None:
    """Print the processor time of the first step under one contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=configurations())
    config, _ = configurations()[parser.parse_args().name]
    before = time.process_time()
    Alsim(JUDGED, config=config).step(uniform_actions(JUDGED))
    print(json.dumps(time.process_time() - before))


if __name__ == "__main__":
    main()
