"""The most memory that a process held, and what a lane takes.

`python -m benchmarks.memory 1000000` steps so many lanes a few times and prints the peak, bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.child import start, told
from benchmarks.report import Row, plain

LANES, STEPS = 1_000_000, 5


def peak() -> int:
    """Return the most memory that this process held, bytes: its own, where getrusage would count its parent's too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the system does not tell a process's peak memory")


def step(lanes: int) -> int:
    """Step a vector environment in this process, and return the peak."""
    from benchmarks.contenders import Alsim, uniform_actions

    envs, actions = Alsim(lanes), uniform_actions(lanes)
    for _ in range(STEPS):
        kept = envs.step(actions)  # as a caller does, who holds one batch while the next is made
    assert len(kept) == 5
    return peak()


def rows() -> Iterator[Row]:
    """Yield the table's row about a lane's memory."""
    few, many = (told(start("-m", "benchmarks.memory", lanes)) for lanes in (1, LANES))
    limit = "state, two batches of what is handed out, and what reset needs for a moment"
    yield plain(f"memory of a vector environment, N = {LANES:,}, a lane", (many - few) / LANES, "B", limit=limit)


if __name__ == "__main__":
    print(json.dumps(step(int(sys.argv[1]))))
