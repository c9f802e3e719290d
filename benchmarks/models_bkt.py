"""Cost of Bayesian knowledge tracing: a fit to a log of the size of ASSISTments 2015, and tracking a million students.

If `ALSIM_TEST_DATA` names the folder of published data, the log is ASSISTments 2015 itself. Otherwise a log of its
size is simulated.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Row, judged

SKILLS, STUDENTS, LENGTH = 100, 14_000, 35
TRACKED, BATCH = 1_000_000, 5_000_000


def training_log() -> tuple[str, Any]:
    """Return a description of the log, and the log."""
    from alsim.models import read_responses

    if folder := os.environ.get("ALSIM_TEST_DATA"):
        return "assist2015", read_responses(Path(folder) / "kt_assist2015" / "train.csv", format="three-line")
    return "a simulated log", simulated_log()


def simulated_log() -> Any:
    """Return responses of 14,000 students, each to five of a hundred skills, seven times per skill."""
    from alsim.models import Responses

    generator = np.random.default_rng(0)
    skill = generator.integers(0, SKILLS, (STUDENTS, 5)).repeat(LENGTH // 5, axis=1)
    learn, guess = generator.uniform(0.05, 0.3, SKILLS), generator.uniform(0.1, 0.4, SKILLS)
    known = generator.random((STUDENTS, SKILLS)) < generator.uniform(0.2, 0.7, SKILLS)
    rows, correct = np.arange(STUDENTS), np.empty((STUDENTS, LENGTH), np.int8)
    for t in range(LENGTH):
        current = skill[:, t]
        correct[:, t] = generator.random(STUDENTS) < np.where(known[rows, current], 0.9, guess[current])
        known[rows, current] |= generator.random(STUDENTS) < learn[current]
    return Responses.from_arrays(rows.repeat(LENGTH), correct.ravel(), skill=skill.ravel())


def batch(num_students: int, num_skills: int) -> tuple[Any, Any, Any]:
    """Return students, skills and answers of BATCH responses in random order."""
    generator = np.random.default_rng(0)
    return (
        generator.integers(0, num_students, BATCH),
        generator.integers(0, num_skills, BATCH),
        generator.integers(0, 2, BATCH, dtype=np.int8),
    )


def core_seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median CPU time of a call that uses one core, seconds; other processes do not affect it."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return statistics.median(times)


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the rows of the table about knowledge tracing."""
    from alsim.models.bkt import BKT, Tracker, fit

    name, log = training_log()
    for forgets, target in ((False, "≤ 1"), (True, "≤ 2")):
        fitted = fit(log, forgets=forgets)
        took = core_seconds(partial(fit, log, forgets=forgets), rounds)
        label = f"knowledge tracing, {name}, {len(log):,} responses{', with forgetting' * forgets}: a fit, one core"
        limit = f"{fitted.iterations} iterations of the slowest skill; log-likelihood {fitted.log_likelihood:.3f}"
        yield judged(label, took, target, "s", limit=limit)
    for skills in (1, 100):
        tracker = Tracker({str(k): BKT() for k in range(skills)}, TRACKED)
        responses = batch(TRACKED, skills)
        tracker.update(*responses)
        took = core_seconds(partial(tracker.update, *responses), rounds)
        label = f"tracker, {TRACKED:,} students × {skills} skills, random order, one core"
        limit = f"memory: each response reads one cache line in {4 * TRACKED * skills / 1e6:.0f} MB of odds"
        yield judged(label, BATCH / took / 1e6, "≥ 20", "M responses/s", limit=limit)


if __name__ == "__main__":
    for row in rows():
        print(*row, sep=" | ")
