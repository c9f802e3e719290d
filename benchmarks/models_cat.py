"""What adaptive tests cost: 10,000 simulated examinees, 20 items each of a bank of 600."""

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
    """Set up a test, its lists of candidates included, and give it to all examinees."""
    able = np.random.default_rng(2).normal(size=examinees)
    return CAT(bank(), select=select, max_items=LENGTH).run(able, seed=3)


def seconds(select: Select, rounds: int, examinees: int = EXAMINEES) -> list[float]:
    """Return the processor seconds of `once`, each round."""
    once(select, 10)  # compiles
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        once(select, examinees)
        found.append(time.process_time() - begin)
    return sorted(found)


def differing(examinees: int = EXAMINEES, together: int = 500) -> int:
    """Return at how many steps of `once` another item would have told more, by a full scan.

    NumPy's exponential may differ from the compiled one by a unit in the last place: 1e-13 of the most is a tie.
    """
    tests, items, differ = once(examinees=examinees), bank(), 0
    for begin in range(0, examinees, together):
        given = tests.items[begin : begin + together]
        rows, free = np.arange(len(given)), np.ones((len(given), BANK), bool)
        theta = np.zeros(len(given))
        for k in range(LENGTH):
            told = np.where(free, irt.information(theta, items), -1.0)
            differ += int((told[rows, given[:, k]] < told.max(axis=1) * (1 - 1e-13)).sum())
            free[rows, given[:, k]] = False
            theta = tests.theta_after[begin : begin + together, k]
    return differ


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the table's rows about adaptive tests."""
    found = seconds("max-info", rounds)
    what = f"adaptive tests, maximum information, {EXAMINEES:,} × {LENGTH} of {BANK} items, one core"
    limit = "33 exponentials a step for EAP, and a few for candidates"
    yield judged(what, statistics.median(found), "≤ 0.3", "s", spread=quartiles(found), limit=limit)
    yield judged("items that a full scan would not have chosen, of 200,000", differing(), "≤ 0", "", limit="none")
    for select, examinees in (("b-opt", EXAMINEES), ("a-stratified", EXAMINEES), ("kullback-leibler", 200)):
        found = seconds(select, rounds, examinees)
        limit = "a full scan, 9 points an item" if select == "kullback-leibler" else ""
        yield plain(
            f"adaptive tests, {select}, examinees a second", examinees / statistics.median(found), "/s", limit=limit
        )
