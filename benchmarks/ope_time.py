"""Time and memory of `alsim ope` on a million interactions: `python -m benchmarks.ope_time` prints the rows.

Each measurement is a process of its own, with its start and its reading of the files; kernels are compiled before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from alsim.datasets.generate import generate_dataset
from alsim.evaluation.ope import ESTIMATORS
from benchmarks.report import Row, judged

LEARNERS = 8_200
"""Learners of the log, one episode each: a little more than a million interactions."""
BEHAVIOUR, TARGET = "epsilon-greedy:rules:0.2", "epsilon-greedy:rules:0.15"


def measured(log: Path, *options: str) -> tuple[float, float]:
    """Return the time, seconds, and the peak memory, GB, of the command with some options."""
    began = perf_counter()
    command = (sys.executable, "-m", "alsim", "ope", str(log), "--target", TARGET, *options)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} exited with status {status}")
    return perf_counter() - began, usage.ru_maxrss / 1e6


def rows() -> Iterator[Row]:
    """Yield the measurements."""
    without = [part for name in ESTIMATORS if name != "fqe" for part in ("--estimator", name)]
    with TemporaryDirectory() as folder:
        log, small = Path(folder, "log"), Path(folder, "small")
        generate_dataset(100, 1, policy=BEHAVIOUR, out=small)
        size = len(generate_dataset(LEARNERS, 1, policy=BEHAVIOUR, out=log))
        measured(small)  # compiles, once
        for name, options, target in (("without fqe", without, "≤ 10"), ("all estimators", [], "≤ 30")):
            seconds, memory = measured(log, *options)
            yield judged(f"alsim ope of {size:,} interactions, {name}", seconds, target, "s")
            yield judged(f"alsim ope of {size:,} interactions, {name}: peak memory", memory, "≤ 1.5", "GB")


if __name__ == "__main__":
    for row in rows():
        print(row)
