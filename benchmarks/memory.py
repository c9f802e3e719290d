"""Peak memory of a process, and memory per lane of a vector environment.

`python -m benchmarks.memory 1000000` steps 1,000,000 lanes a few times and prints the peak memory in bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.child import output_of, start
from benchmarks.report import Row, plain

LANES, STEPS = 1_000_000, 5


def peak() -> int:
    """Return the peak memory of this process in bytes. `getrusage` would also count memory of the parent process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM; this benchmark needs Linux")


def step(lanes: int) -> int:
    """Step a vector environment in this process, and return the peak memory in bytes."""
    from benchmarks.contenders import Alsim, uniform_actions

    envs, actions = Alsim(lanes), uniform_actions(lanes)
    for _ in range(STEPS):
        kept = envs.step(actions)  # like a caller that keeps one batch during the next step
    assert len(kept) == 5
    return peak()


def rows() -> Iterator[Row]:
    """Yield the row about the memory per lane."""
    few, many = (output_of(start("-m", "benchmarks.memory", lanes)) for lanes in (1, LANES))
    limit = "state, two batches of outputs, and temporary arrays of reset"
    yield plain(f"memory of a vector environment, N = {LANES:,}, per lane", (many - few) / LANES, "B", limit=limit)


if __name__ == "__main__":
    print(json.dumps(step(int(sys.argv[1]))))
