"""Speed and peak memory of generating datasets in files.

`python -m benchmarks.generation arrow 10000000 --threads 2` writes about 10 million transitions with 2 threads to a
temporary folder, and prints speed, size and memory as JSON. `--workers N` uses N processes. `--no-store-observations`
leaves observations out, and also measures how fast they are recomputed.
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

from benchmarks.child import output_of, start
from benchmarks.measure import cores, seconds
from benchmarks.memory import peak
from benchmarks.report import Row, judged, missing, number

LENGTH = 117.5  # mean interactions per episode under the uniform policy
BYTES = {"arrow": 250, "parquet": 60}  # upper bound per transition with its events
MAX_MEMORY = 1.0  # GiB


def generate(
    file_format: str, transitions: int, threads: int = 1, workers: int = 1, store_observations: bool = True
) -> dict[str, Any]:
    """Write a dataset with threads or worker processes, and return the measurements.

    They are the numbers of transitions and bytes, the seconds, and the peak memory of this process in bytes. Without
    stored observations, `recomputed` is the number of transitions per second whose observations are recomputed.
    """
    import alsim

    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"file_format": file_format, "store_observations": store_observations}
        executor = {"num_workers": workers} if workers > 1 else {"num_threads": threads}
        alsim.generate_dataset(100, 1, out=Path(folder, "warm"), num_threads=threads, **settings)
        start_time = time.perf_counter()
        learners = round(transitions / LENGTH)
        dataset = alsim.generate_dataset(learners, 1, out=Path(folder, "dataset"), **settings, **executor)
        elapsed, rows = time.perf_counter() - start_time, len(dataset)
        peak_memory = peak()
        size = sum(path.stat().st_size for path in Path(folder, "dataset").rglob("*") if path.is_file())
    recomputed = {} if store_observations else {"recomputed": recomputing_speed()}
    return {"transitions": rows, "seconds": elapsed, "bytes": size, "peak": peak_memory, **recomputed}


def recomputing_speed() -> float:
    """Return the number of transitions per second whose observations are recomputed, in one thread."""
    import alsim
    from alsim.datasets.replayed import recompute_observations

    dataset = alsim.generate_dataset(4096, 1, store_observations=False)
    arguments = dataset.manifest, dataset.bank, dataset.episodes, dataset.action, dataset.reward
    recompute_observations(*arguments)
    return len(dataset) / min(seconds(lambda: recompute_observations(*arguments)) for _ in range(5))


def in_child(file_format: str, transitions: int, **options: object) -> dict[str, Any]:
    """Return the measurements of `generate` in a new process."""
    flags = [word for name, value in options.items() for word in _flag(name, value)]
    return output_of(start("-m", "benchmarks.generation", file_format, transitions, *flags))


def _flag(name: str, value: object) -> tuple[object, ...]:
    """Return the arguments of an option on the command line."""
    if isinstance(value, bool):
        return (f"--{'' if value else 'no-'}{name.replace('_', '-')}",)
    return (f"--{name}", value)


def fits(file_format: str, transitions: int) -> bool:
    """Return whether the disk has room for twice the dataset."""
    return shutil.disk_usage(tempfile.gettempdir()).free > 2 * BYTES[file_format] * transitions


def rows(transitions: int = 10**7, *, long: bool = False) -> Iterator[Row]:
    """Yield the rows about datasets; `long` adds 10**8 transitions."""
    threads = min(2, cores())
    small = in_child("parquet", transitions // 10, threads=threads)
    for file_format, target in (("arrow", "≥ 3"), ("parquet", "≥ 1.5")):
        quantity = f"generate_dataset to {file_format.capitalize()}, {threads} threads"
        if not fits(file_format, transitions):
            yield missing(quantity, "too little room on disk", target)
            continue
        done = in_child(file_format, transitions, threads=threads)
        yield _speed(quantity, done, target)
        before = small if file_format == "parquet" else None
        yield _memory(f"peak memory, {number(transitions)} transitions to {file_format.capitalize()}", done, before)
        if file_format == "parquet":
            yield from _variants(transitions, threads, done)
    if long and fits("parquet", 10**8):
        done = in_child("parquet", 10**8, threads=threads)
        yield _speed(f"generate_dataset to Parquet, {number(10**8)} transitions, {threads} threads", done, "≥ 1.5")
        yield _memory(f"peak memory, {number(10**8)} transitions to Parquet", done, small)
    elif long:
        yield missing(f"{number(10**8)} transitions to Parquet", "too little room on disk")


def _variants(transitions: int, threads: int, done: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows about workers and about datasets without observations, compared with the dataset `done`."""
    by_workers = in_child("parquet", transitions, workers=threads)
    quantity = f"generate_dataset to Parquet, {threads} workers"
    yield _speed(quantity, by_workers, "≥ 1.2")
    bare = in_child("parquet", transitions, threads=threads, store_observations=False)
    yield _speed(f"generate_dataset to Parquet, {threads} threads, no observations", bare, "≥ 2")
    saved = 1 - bare["bytes"] / done["bytes"]
    yield judged("bytes saved by leaving observations out, Parquet", 100 * saved, "≥ 20", "%", limit="other columns")
    limit = "first writes to new memory"
    yield judged("observations recomputed, 1 thread", bare["recomputed"] / 1e6, "≥ 5", "M transitions/s", limit=limit)


def _speed(quantity: str, done: dict[str, Any], target: str) -> Row:
    rate = done["bytes"] / done["seconds"] / 1e6
    each = done["bytes"] / done["transitions"]
    limit = f"encoding and the disk: {each:.0f} B per transition with its events, {rate:.0f} MB/s"
    return judged(quantity, done["transitions"] / done["seconds"] / 1e6, target, "M transitions/s", limit=limit)


def _memory(quantity: str, done: dict[str, Any], small: dict[str, Any] | None) -> Row:
    limit = "a few blocks of episodes at a time"
    if small is not None:
        limit += f"; {small['peak'] / 2**20:.0f} MiB for {number(small['transitions'])}"
    return judged(quantity, done["peak"] / 2**30, f"≤ {MAX_MEMORY:g}", "GiB", limit=limit)


def main() -> None:
    """Generate a dataset according to the command line, and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file_format", choices=BYTES)
    parser.add_argument("transitions", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--store-observations", action=argparse.BooleanOptionalAction, default=True)
    print(json.dumps(generate(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
