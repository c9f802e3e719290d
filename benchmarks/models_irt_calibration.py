"""Cost of calibration: 100,000 students × 100 items, and a sparse log of 10,000 items."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from alsim.models import Responses, irt
from benchmarks.report import Row, judged, plain

STUDENTS, ITEMS = 100_000, 100
MANY_ITEMS, SPARSE_STUDENTS, SPARSE = 10_000, 50_000, 1_000_000


def dense(students: int = STUDENTS, items: int = ITEMS, seed: int = 0) -> Responses:
    """Return 2PL responses of all students to all items."""
    rng = np.random.default_rng(seed)
    a, d = rng.lognormal(0, 0.3, items), rng.normal(size=items)
    z = a * rng.normal(size=(students, 1)) + d
    return Responses.from_matrix((rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(np.int8))


def sparse(seed: int = 1) -> Responses:
    """Return responses of students to 20 items each, from a large bank."""
    rng = np.random.default_rng(seed)
    theta, b = rng.normal(size=SPARSE_STUDENTS), rng.normal(size=MANY_ITEMS)
    student, item = rng.integers(0, SPARSE_STUDENTS, SPARSE), rng.integers(0, MANY_ITEMS, SPARSE)
    correct = rng.random(SPARSE) < 1 / (1 + np.exp(-(theta[student] - b[item])))
    return Responses.from_arrays(student, correct.astype(np.int8), item=item)


def timed(responses: Responses, model: str, **options: object) -> tuple[irt.IRTFit, float, float]:
    """Return a fit, its elapsed seconds, and its processor seconds."""
    start, start_cpu = time.perf_counter(), time.process_time()
    fit = irt.fit(responses, model, **options)
    return fit, time.perf_counter() - start, time.process_time() - start_cpu


def rows() -> Iterator[Row]:
    """Yield the rows of the table about calibration."""
    irt.fit(dense(500, 10))  # compiles
    fit, elapsed, cpu = timed(dense(), "2pl")
    limit = f"{fit.iterations} EM steps to 1e-6, standard errors included; {cpu:.1f} s of processor time"
    yield judged(f"calibration, 2PL, {STUDENTS:,} students × {ITEMS} items", elapsed, "≤ 15", "s", limit=limit)
    fit, elapsed, cpu = timed(sparse(), "rasch")
    limit = f"{fit.iterations} EM steps; {cpu:.1f} s of processor time, mostly in the arrays of the M-step"
    yield plain(f"calibration, Rasch, {SPARSE:,} responses to {MANY_ITEMS:,} items", elapsed, "s", limit=limit)
