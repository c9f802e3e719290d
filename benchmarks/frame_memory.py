"""Memory that data frames of transitions take, and that they need while they are built.

`python -m benchmarks.frame_memory` builds frames of datasets of two sizes, each in a new process. The peak is taken as
a linear function of the size of the frame, whose slope and constant are printed. It needs the extras `pandas` and
`polars`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import alsim
from benchmarks.child import output_of, start
from benchmarks.memory import peak
from benchmarks.report import markdown, number

LEARNERS = (3_000, 9_000)
LIBRARIES = ("pandas", "polars")
HEADER = ("library", "bytes per row", "peak / size of the frame", "constant part, GB")


def build(library: str, dataset: str) -> tuple[int, int, int]:
    """Build a frame in this process, and return its rows, its bytes, and the bytes that the peak of memory grew by."""
    stored, small = alsim.load_dataset(dataset), alsim.generate_dataset(num_learners=2, episodes_per_learner=1)
    getattr(small, f"to_{library}")()  # imports the library, and compiles
    before = peak()
    frame = getattr(stored, f"to_{library}")()
    size = frame.memory_usage(deep=True).sum() if library == "pandas" else frame.estimated_size()
    return len(frame), int(size), peak() - before


def rows(folder: Path) -> list[tuple[str, ...]]:
    """Return one row per library."""
    for count in LEARNERS:
        alsim.generate_dataset(num_learners=count, policy="uniform", seed=0, out=folder / str(count))
    found = []
    for library in LIBRARIES:
        (_, small, few), (length, large, many) = (
            output_of(start("-m", "benchmarks.frame_memory", library, folder / str(count))) for count in LEARNERS
        )
        slope = (many - few) / (large - small)
        found.append((library, number(large / length, 3), number(slope, 2), number((few - slope * small) / 1e9, 1)))
    return found


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(build(*sys.argv[1:])))
    else:
        with tempfile.TemporaryDirectory() as path:
            print(markdown(HEADER, rows(Path(path))))
