"""Shards: ranges of episodes, generation, and validation of complete shards by their checksums."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from alsim.datasets.manifest import DatasetError
from alsim.datasets.round_states import RoundStates
from alsim.datasets.schema import TABLES
from alsim.datasets.store import shard_path, write_json, write_shard
from alsim.datasets.tables import tables_of
from alsim.rollouts.collector import Collector
from alsim.rollouts.plan import RolloutPlan, block_edges
from alsim.rollouts.rollout import new_collector, run_block, view_block
from alsim.rollouts.rounds import learns_across_learners
from alsim.rollouts.truth import TruthReplay
from alsim.utils.files import sha256
from alsim.utils.reading import read_json
from alsim.utils.run_directory import matches_entry

SIDECARS = "shards"
"""Folder with one sidecar file per finished shard, while the dataset is written."""

Files = dict[str, dict[str, Any]]
"""The entries of a shard in the manifest, by table."""


class Job(NamedTuple):
    """Everything that is needed to make any shard of a dataset, in this process or another."""

    plan: RolloutPlan
    directory: Path
    episodes_per_shard: int
    file_format: str
    truth: bool = False

    def edges(self) -> list[tuple[int, int]]:
        """Return the range of episodes of each shard, as pairs (start, stop)."""
        return block_edges(self.plan, self.episodes_per_shard)


class Shard(NamedTuple):
    """A complete shard: `kept` from an earlier run, `repaired` because it was damaged, or `made`."""

    number: int
    files: Files
    origin: Literal["made", "kept", "repaired"]


class TableMaker:
    """Builder of the tables of shards, one shard per call.

    reuse        if True, all shards use the same memory, so the tables of a shard are valid only until the next call
    checkpoints  directory for the states of a policy that learns across learners; None: they are in memory only
    """

    def __init__(self, job: Job, *, reuse: bool, checkpoints: Path | None = None) -> None:
        self._plan, self._edges, self._truth = job.plan, job.edges(), job.truth
        self._reuse = reuse
        self._collector: Collector | None = None
        self._replay: TruthReplay | None = None
        self._rounds = RoundStates(job.plan, checkpoints) if learns_across_learners(job.plan) else None

    def __call__(self, number: int) -> dict[str, pa.Table]:
        """Return the tables of a shard by name. Raises MemoryError with a note about episodes_per_shard."""
        try:
            return self._make(number)
        except MemoryError as error:
            start, stop = self._edges[number]
            error.add_note(f"the shard has {stop - start:,} episodes; a smaller episodes_per_shard needs less memory")
            raise

    def _make(self, number: int) -> dict[str, pa.Table]:
        start, stop = self._edges[0]  # no other shard has more episodes
        if self._collector is None and self._reuse:
            self._collector = new_collector(self._plan, stop - start)
        if self._truth and self._replay is None:
            self._replay = TruthReplay(self._plan, stop - start)
        if self._rounds is not None:
            run = self._rounds.run(number)  # a shard is one round
            run = run if self._plan.keep_observations else replace(run, obs=None)
        elif self._collector is None:
            run = run_block(self._plan, *self._edges[number])
        else:
            run = view_block(self._plan, self._collector, *self._edges[number])
        return tables_of(run, None if self._replay is None else self._replay(run))


class ShardMaker:
    """Writer of shards, one per call, each with its sidecar. Complete shards of an earlier run are kept."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tables = TableMaker(job, reuse=True, checkpoints=job.directory / SIDECARS)

    def __call__(self, number: int) -> Shard:
        """Write a shard unless it is complete, and return its entries. Raises DatasetError if it cannot be written."""
        directory, file_format = self._job.directory, self._job.file_format
        sidecar = directory / SIDECARS / f"{number:05d}.json"
        if not sidecar.parent.is_dir():
            raise DatasetError(
                f"{directory} does not exist on the machine of this worker; "
                "use a directory on a file system that all machines share"
            )
        exists = sidecar.exists()
        if exists and (files := complete_files(directory, sidecar, number, file_format)):
            return Shard(number, files, "kept")
        tables = self._tables(number)
        files = {name: write_shard(directory, name, number, tables[name], file_format) for name in TABLES}
        write_json(sidecar, {"files": files, "sha256": digest(files)})
        return Shard(number, files, "repaired" if exists else "made")


def complete_files(directory: Path, sidecar: Path, number: int, file_format: str) -> Files | None:
    """Return the entries in a sidecar if the files of its shard match them, otherwise None."""
    try:
        content = read_json(sidecar, inside=directory)
        files: Files = content["files"]
        if content["sha256"] != digest(files):
            return None
        for name in TABLES:
            relative, entry = shard_path(name, number, file_format), files[name]
            if entry["path"] != relative or not matches_entry(directory / relative, entry):
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return files


def digest(files: Files) -> str:
    """Return the SHA-256 of the entries of a shard."""
    return sha256(json.dumps(files, sort_keys=True).encode())
