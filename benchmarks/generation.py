"""What a dataset costs: transitions a second to files, and the most memory that it takes.

`python -m benchmarks.generation arrow 10000000 2` writes about so many transitions with 2 threads to a folder
that is deleted afterwards, and prints what it took, as JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.child import start, told
from benchmarks.measure import cores
from benchmarks.memory import peak
from benchmarks.report import Row, judged, missing, number

LENGTH = 117.5  # interactions of a mean episode under the uniform policy
BYTES = {"arrow": 250, "parquet": 60}  # of a transition, events included, generously
MOST_MEMORY = 1.0  # GiB


def generate(file_format: str, transitions: int, threads: int) -> dict[str, Any]:
    """Write a dataset in this process, and return its size, the seconds it took, and the peak of memory in bytes."""
    import alsim

    with tempfile.TemporaryDirectory() as folder:
        settings = {"file_format": file_format, "num_threads": threads}
        alsim.generate_dataset(100, 1, out=Path(folder, "warm"), **settings)
        began = time.perf_counter()
        dataset = alsim.generate_dataset(round(transitions / LENGTH), 1, out=Path(folder, "dataset"), **settings)
        took, rows = time.perf_counter() - began, len(dataset)
        written = sum(path.stat().st_size for path in Path(folder, "dataset").rglob("*") if path.is_file())
    return {"transitions": rows, "seconds": took, "bytes": written, "peak": peak()}


def in_child(file_format: str, transitions: int, threads: int) -> dict[str, Any]:
    """Return the same of a process of its own."""
    return told(start("-m", "benchmarks.generation", file_format, transitions, threads))


def fits(file_format: str, transitions: int) -> bool:
    """Whether the disk has room, twice over."""
    return shutil.disk_usage(tempfile.gettempdir()).free > 2 * BYTES[file_format] * transitions


def rows(transitions: int = 10**7, *, long: bool = False) -> Iterator[Row]:
    """Yield the table's rows about datasets; `long` adds 10**8 transitions."""
    threads = min(2, cores())
    small = in_child("parquet", transitions // 10, threads)
    for file_format, target in (("arrow", "≥ 3"), ("parquet", "≥ 1.5")):
        what = f"generate_dataset to {file_format.capitalize()}, {threads} threads"
        if not fits(file_format, transitions):
            yield missing(what, "too little room on disk", target)
            continue
        done = in_child(file_format, transitions, threads)
        yield _speed(what, done, target)
        before = small if file_format == "parquet" else None
        yield _memory(f"peak memory, {number(transitions)} transitions to {file_format.capitalize()}", done, before)
    if long and fits("parquet", 10**8):
        done = in_child("parquet", 10**8, threads)
        yield _speed(f"generate_dataset to Parquet, {number(10**8)} transitions, {threads} threads", done, "≥ 1.5")
        yield _memory(f"peak memory, {number(10**8)} transitions to Parquet", done, small)
    elif long:
        yield missing(f"{number(10**8)} transitions to Parquet", "too little room on disk")


def _speed(what: str, done: dict[str, Any], target: str) -> Row:
    rate = done["bytes"] / done["seconds"] / 1e6
    each = done["bytes"] / done["transitions"]
    limit = f"encoding and the disk: {each:.0f} B a transition with its events, {rate:.0f} MB/s"
    return judged(what, done["transitions"] / done["seconds"] / 1e6, target, "M transitions/s", limit=limit)


def _memory(what: str, done: dict[str, Any], small: dict[str, Any] | None) -> Row:
    limit = "a few blocks of episodes at a time"
    if small is not None:
        limit += f"; {small['peak'] / 2**20:.0f} MiB for {number(small['transitions'])}"
    return judged(what, done["peak"] / 2**30, f"≤ {MOST_MEMORY:g}", "GiB", limit=limit)


def main(file_format: str, transitions: str, threads: str) -> None:
    """Generate as the command line says."""
    print(json.dumps(generate(file_format, int(transitions), int(threads))))


if __name__ == "__main__":
    main(*sys.argv[1:])
