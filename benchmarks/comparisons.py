"""Time of a comparison of policies with held-out learners, warm: the rollouts and the report.

`python -m benchmarks.comparisons` prints the rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np

from alsim.evaluation import compare
from benchmarks.measure import alternate, cores
from benchmarks.report import Row, judged, quartiles

LEARNERS = 10_000
COMPILED = ("uniform", "rules", "weakest", "video-weakest", "round-robin")


class PlainLoop:
    """A policy in Python, with a loop over the lanes: an Easy question about the weakest outcome."""

    name = "plain-loop"

    def act(self, view: Any, draws: Any) -> Any:
        """Return the actions and their probabilities."""
        actions = [3 * int(row.argmin()) for row in view.mastery]
        return np.array(actions), np.ones(view.num_lanes)


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the rows of the table about comparisons."""
    threads = min(2, cores())
    yield _row(
        f"comparison of five compiled policies, {LEARNERS:,} learners, {threads} threads, with its report",
        lambda: compare(COMPILED, learners=LEARNERS, num_threads=threads).to_dict(),
        "≤ 3",
        rounds,
    )
    yield _row(
        f"comparison of a policy in Python with uniform, {LEARNERS:,} learners, with its report",
        lambda: compare([PlainLoop(), "uniform"], learners=LEARNERS).to_dict(),
        "≤ 60",
        1,
    )


def _row(quantity: str, run: Any, target: str, rounds: int) -> Row:
    """Return the row of the time of a function."""
    times = sorted(alternate({"": run}, rounds, budget=0.0, warm=1)[""])
    return judged(quantity, statistics.median(times), target, "s", digits=2, spread=quartiles(times))


if __name__ == "__main__":
    for row in rows():
        print(row)
