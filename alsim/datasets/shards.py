"""One shard: which episodes are in it, how it is made, and how one that is there already is known to be whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from alsim.datasets.schema import TABLES
from alsim.datasets.store import DatasetError, sha256, shard_path, write_json, write_shard
from alsim.datasets.tables import tables_of
from alsim.rollouts.collector import Collector
from alsim.rollouts.plan import RolloutPlan, block_edges
from alsim.rollouts.rollout import new_collector, run_block, view_block

SIDECARS = "shards"
"""Folder of what is known of each finished shard, of a dataset under way."""

Files = dict[str, dict[str, Any]]
"""What the manifest says of a shard: its entry in each table."""


class Job(NamedTuple):
    """What it takes to make any shard of a dataset, here or in another process."""

    plan: RolloutPlan
    directory: Path
    episodes_per_shard: int
    file_format: str

    def edges(self) -> list[tuple[int, int]]:
        """First episode of each shard, and the one after its last."""
        return block_edges(self.plan, self.episodes_per_shard)


class Shard(NamedTuple):
    """A shard that is whole: `kept` from before, `mended` because what was there was damaged, or `made`."""

    number: int
    files: Files
    origin: Literal["made", "kept", "mended"]


class TableMaker:
    """Makes the tables of one shard after the other.

    reuse  in the same memory: those of a shard are good until the next
    """

    def __init__(self, job: Job, *, reuse: bool) -> None:
        self._plan, self._edges = job.plan, job.edges()
        self._reuse = reuse
        self._collector: Collector | None = None

    def __call__(self, number: int) -> dict[str, pa.Table]:
        """Return the tables of a shard."""
        try:
            return self._made(number)
        except MemoryError as error:
            start, stop = self._edges[number]
            error.add_note(f"the shard is of {stop - start:,} episodes; fewer episodes_per_shard take less memory")
            raise

    def _made(self, number: int) -> dict[str, pa.Table]:
        if self._collector is None and self._reuse:
            start, stop = self._edges[0]  # no other has more episodes
            self._collector = new_collector(self._plan, stop - start)
        if self._collector is None:
            return tables_of(run_block(self._plan, *self._edges[number]))
        return tables_of(view_block(self._plan, self._collector, *self._edges[number]))


class ShardMaker:
    """Makes one shard after the other in files, each with its sidecar; keeps those that are whole already."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tables = TableMaker(job, reuse=True)

    def __call__(self, number: int) -> Shard:
        """Return a shard that is whole. Raises DatasetError if it cannot be written."""
        directory, file_format = self._job.directory, self._job.file_format
        sidecar = directory / SIDECARS / f"{number:05d}.json"
        if not sidecar.parent.is_dir():
            raise DatasetError(f"{directory} is not to be seen by this process: workers need a file system in common")
        there = sidecar.exists()
        if there and (files := whole(directory, sidecar, number, file_format)):
            return Shard(number, files, "kept")
        tables = self._tables(number)
        files = {name: write_shard(directory, name, number, tables[name], file_format) for name in TABLES}
        write_json(sidecar, {"files": files, "sha256": digest(files)})
        return Shard(number, files, "mended" if there else "made")


def whole(directory: Path, sidecar: Path, number: int, file_format: str) -> Files | None:
    """Return what a sidecar says of its shard, if that is what lies on the disk."""
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8"))
        files: Files = told["files"]
        if told["sha256"] != digest(files):
            return None
        for name in TABLES:
            relative, entry = shard_path(name, number, file_format), files[name]
            file = directory / relative
            if entry["path"] != relative or file.stat().st_size != entry["bytes"] or sha256(file) != entry["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return files


def digest(files: Files) -> str:
    """Return the SHA-256 of what is known of a shard."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
