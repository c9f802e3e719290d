"""Cost of adaptive tests: 10,000 simulated examinees, 20 items each from a bank of 600."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np

from alsim.models import irt
from alsim.models.cat import CAT, CATRun, Select
from benchmarks.report import Row, judged, plain, quartiles

EXAMINEES, LENGTH, BANK = 10_000, 20, 600


def bank(seed: int = 1) -> irt.ItemParameters:
    """Return three-parameter items."""
    rng = np.random.default_rng(seed)
    return irt.ItemParameters(rng.lognormal(0, 0.3, BANK), rng.normal(size=BANK), rng.uniform(0, 0.25, BANK))


def once(select: Select = "max-info", examinees: int = EXAMINEES) -> CATRun:
    """Create an adaptive test, which builds its lists of candidates, and run it for all examinees."""
    ability = np.random.default_rng(2).normal(size=examinees)
    return CAT(bank(), select=select, max_items=LENGTH).run(ability, seed=3)


def seconds(select: Select, rounds: int, examinees: int = EXAMINEES) -> list[float]:
    """Return the processor seconds of each round of `once`, sorted."""
    once(select, 10)  # compiles
    measured = []
    for _ in range(rounds):
        begin = time.process_time()
        once(select, examinees)
        measured.append(time.process_time() - begin)
    return sorted(measured)


def differing(examinees: int = EXAMINEES, together: int = 500) -> int:
    """Return the number of steps of `once` at which a full scan finds an item with more information.

    NumPy's exponential may differ from the compiled one by a unit in the last place, so a difference of 1e-13 relative
    to the maximum counts as a tie.
    """
    tests, items, differ = once(examinees=examinees), bank(), 0
    for begin in range(0, examinees, together):
        chosen = tests.items[begin : begin + together]
        rows, free = np.arange(len(chosen)), np.ones((len(chosen), BANK), bool)
        theta = np.zeros(len(chosen))
        for k in range(LENGTH):
            information = np.where(free, irt.information(theta, items), -1.0)
            differ += int((information[rows, chosen[:, k]] < information.max(axis=1) * (1 - 1e-13)).sum())
            free[rows, chosen[:, k]] = False
            theta = tests.theta_after[begin : begin + together, k]
    return differ


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the rows of the table about adaptive tests."""
    measured = seconds("max-info", rounds)
    quantity = f"adaptive tests, maximum information, {EXAMINEES:,} × {LENGTH} of {BANK} items, one core"
    limit = "33 exponentials per step for EAP, and a few for candidates"
    yield judged(quantity, statistics.median(measured), "≤ 0.3", "s", spread=quartiles(measured), limit=limit)
    yield judged("items that a full scan would not have chosen, of 200,000", differing(), "≤ 0", "", limit="none")
    for select, examinees in (("b-opt", EXAMINEES), ("a-stratified", EXAMINEES), ("kullback-leibler", 200)):
        measured = seconds(select, rounds, examinees)
        limit = "a full scan, 9 points per item" if select == "kullback-leibler" else ""
        yield plain(
            f"adaptive tests, {select}, examinees per second",
            examinees / statistics.median(measured),
            "/s",
            limit=limit,
        )
