"""Peak memory of a process, of a vector environment per lane, and of the arrays of a dataset.

`python -m benchmarks.memory 1000000` steps 1,000,000 lanes a few times and prints the peak memory in bytes.
`python -m benchmarks.memory DIR` reads the arrays of the dataset in DIR. It prints their size, and by how much the peak
memory exceeds the memory before, in bytes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.child import output_of, start
from benchmarks.report import Row, judged, number, plain

LANES, STEPS = 1_000_000, 5
LEARNERS = 86_000
"""Number of learners of the dataset, with one episode each: 10 million transitions."""


def peak() -> int:
    """Return the peak memory of this process in bytes. `getrusage` would also count memory of the parent process."""
    return _status("VmHWM")


def _status(name: str) -> int:
    """Return a size in the status of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}; this benchmark needs Linux")


def step(lanes: int) -> int:
    """Step a vector environment in this process, and return the peak memory in bytes."""
    from benchmarks.contenders import Alsim, uniform_actions

    envs, actions = Alsim(lanes), uniform_actions(lanes)
    for _ in range(STEPS):
        kept = envs.step(actions)  # like a caller that keeps one batch during the next step
    assert len(kept) == 5
    return peak()


def read_arrays(path: str) -> dict[str, int]:
    """Read the arrays of a dataset, and return its transitions, the bytes of the arrays, and those of the peak.

    The peak is relative to the memory before. A small dataset is read first, because imports need memory too.
    """
    import alsim

    with tempfile.TemporaryDirectory() as folder:
        small = alsim.generate_dataset(2, 1, out=Path(folder, "small"), store_observations=has_observations(path))
        assert alsim.load_dataset(small.path).arrays
    dataset, before = alsim.load_dataset(path), _status("VmRSS")
    size = sum(array.nbytes for array in dataset.arrays.values())
    return {"transitions": len(dataset), "bytes": size, "peak": peak() - before}


def has_observations(path: str) -> bool:
    """Return whether the dataset in a directory has stored observations."""
    import alsim

    return bool(alsim.load_dataset(path).manifest["observations"] == "full")


def array_rows() -> Iterator[Row]:
    """Yield the rows about the arrays of datasets with 10 million transitions."""
    import alsim

    for stored, title in ((True, "stored"), (False, "recomputed")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "dataset")
            alsim.generate_dataset(LEARNERS, 1, out=path, store_observations=stored)
            found = output_of(start("-m", "benchmarks.memory", path))
        quantity = f"dataset.arrays of {number(found['transitions'])} transitions, observations {title}: peak / arrays"
        limit = f"{found['bytes'] / 1e9:.2f} GB of arrays, peak {found['peak'] / 1e9:.2f} GB"
        yield judged(quantity, found["peak"] / found["bytes"], "≤ 1.1", "×", limit=limit)


def rows() -> Iterator[Row]:
    """Yield the rows about the memory per lane, and about arrays of datasets."""
    few, many = (output_of(start("-m", "benchmarks.memory", lanes)) for lanes in (1, LANES))
    limit = "state, two batches of outputs, and temporary arrays of reset"
    yield plain(f"memory of a vector environment, N = {LANES:,}, per lane", (many - few) / LANES, "B", limit=limit)
    yield from array_rows()


if __name__ == "__main__":
    argument = sys.argv[1]
    print(json.dumps(step(int(argument)) if argument.isdecimal() else read_arrays(argument)))
