"""What a dataset costs: transitions a second to files, and the most memory that it takes.

`python -m benchmarks.generation arrow 10000000 --threads 2` writes about so many transitions with 2 threads to a
folder that is deleted afterwards, and prints what it took, as JSON. `--workers N` does it in processes,
`--observations none` leaves observations out, and then times how fast they are made again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.child import start, told
from benchmarks.measure import cores, seconds
from benchmarks.memory import peak
from benchmarks.report import Row, judged, missing, number

LENGTH = 117.5  # interactions of a mean episode under the uniform policy
BYTES = {"arrow": 250, "parquet": 60}  # of a transition, events included, generously
MOST_MEMORY = 1.0  # GiB


def generate(
    file_format: str, transitions: int, threads: int = 1, workers: int = 1, observations: str = "full"
) -> dict[str, Any]:
    """Write a dataset in this process or in workers of it, and return what it took.

    That is its size, seconds, the peak of this process's memory in bytes; without observations, also the seconds
    in which those of a shard's size are made again.
    """
    import alsim

    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"file_format": file_format, "observations": observations}
        who = {"num_workers": workers} if workers > 1 else {"num_threads": threads}
        alsim.generate_dataset(100, 1, out=Path(folder, "warm"), num_threads=threads, **settings)
        began = time.perf_counter()
        dataset = alsim.generate_dataset(round(transitions / LENGTH), 1, out=Path(folder, "dataset"), **settings, **who)
        took, rows = time.perf_counter() - began, len(dataset)
        highest = peak()
        written = sum(path.stat().st_size for path in Path(folder, "dataset").rglob("*") if path.is_file())
    again = {"again": replaying()} if observations == "none" else {}
    return {"transitions": rows, "seconds": took, "bytes": written, "peak": highest, **again}


def replaying() -> float:
    """Return how many transitions a second have their observations made again, in one thread."""
    import alsim
    from alsim.datasets.replayed import replayed

    dataset = alsim.generate_dataset(4096, 1, observations="none")
    arguments = dataset.manifest, dataset.bank, dataset.transitions, dataset.episodes
    replayed(*arguments)
    return len(dataset) / min(seconds(lambda: replayed(*arguments)) for _ in range(5))


def in_child(file_format: str, transitions: int, **options: object) -> dict[str, Any]:
    """Return the same of a process of its own."""
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return told(start("-m", "benchmarks.generation", file_format, transitions, *flags))


def fits(file_format: str, transitions: int) -> bool:
    """Whether the disk has room, twice over."""
    return shutil.disk_usage(tempfile.gettempdir()).free > 2 * BYTES[file_format] * transitions


def rows(transitions: int = 10**7, *, long: bool = False) -> Iterator[Row]:
    """Yield the table's rows about datasets; `long` adds 10**8 transitions."""
    threads = min(2, cores())
    small = in_child("parquet", transitions // 10, threads=threads)
    for file_format, target in (("arrow", "≥ 3"), ("parquet", "≥ 1.5")):
        what = f"generate_dataset to {file_format.capitalize()}, {threads} threads"
        if not fits(file_format, transitions):
            yield missing(what, "too little room on disk", target)
            continue
        done = in_child(file_format, transitions, threads=threads)
        yield _speed(what, done, target)
        before = small if file_format == "parquet" else None
        yield _memory(f"peak memory, {number(transitions)} transitions to {file_format.capitalize()}", done, before)
        if file_format == "parquet":
            yield from _beside(transitions, threads, done)
    if long and fits("parquet", 10**8):
        done = in_child("parquet", 10**8, threads=threads)
        yield _speed(f"generate_dataset to Parquet, {number(10**8)} transitions, {threads} threads", done, "≥ 1.5")
        yield _memory(f"peak memory, {number(10**8)} transitions to Parquet", done, small)
    elif long:
        yield missing(f"{number(10**8)} transitions to Parquet", "too little room on disk")


def _beside(transitions: int, threads: int, done: dict[str, Any]) -> Iterator[Row]:
    """Yield what workers and stored observations do to the speed, beside what was `done` by threads."""
    by_workers = in_child("parquet", transitions, workers=threads)
    what = f"generate_dataset to Parquet, {threads} workers"
    yield _speed(what, by_workers, "≥ 1.2")
    bare = in_child("parquet", transitions, threads=threads, observations="none")
    yield _speed(f"generate_dataset to Parquet, {threads} threads, no observations", bare, "≥ 2")
    saved = 1 - bare["bytes"] / done["bytes"]
    yield judged("bytes that no observations save, Parquet", 100 * saved, "≥ 20", "%", limit="events and other columns")
    limit = "writing them to memory that is new"
    yield judged("observations made again, 1 thread", bare["again"] / 1e6, "≥ 5", "M transitions/s", limit=limit)


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


def main() -> None:
    """Generate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file_format", choices=BYTES)
    parser.add_argument("transitions", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--observations", default="full")
    print(json.dumps(generate(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
