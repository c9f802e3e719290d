"""Generating datasets: a policy teaches learners, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alsim._version import __version__
from alsim.actions import MOST_LOS
from alsim.bank import Bank
from alsim.bank_files import save_bank
from alsim.config import Config
from alsim.datasets.schema import SCHEMA_VERSION, TABLES
from alsim.datasets.store import (
    BANK,
    BANK_FILES,
    FORMATS,
    MANIFEST,
    Dataset,
    entry_of,
    load_dataset,
    new_directory,
    write_json,
    write_shard,
)
from alsim.datasets.tables import tables_of
from alsim.envs.registration import ENVIRONMENT_ID
from alsim.errors import AlsimError
from alsim.policies import Policy, make_policy
from alsim.rim import read_observation, read_positive, read_rules, read_seed
from alsim.rollouts import block_episodes, run
from alsim.types import FIRST_HELD_OUT

Progress = Callable[[int, int], None]
"""Called with episodes done and transitions written so far."""


def generate_dataset(
    num_learners: int = 200,
    episodes_per_learner: int = 3,
    policy: str | Policy = "uniform",
    seed: int = 0,
    *,
    out: str | Path | None = None,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    file_format: str = "parquet",
    force: bool = False,
    num_threads: int = 1,
    progress: Progress | None = None,
) -> Dataset:
    """Let a policy teach learners, and return all that happened as a dataset.

    num_learners          learners 0 … num_learners - 1 of the seed, at most 2**31 (clause S11.4)
    episodes_per_learner  each a fresh draw of the learner (clause S1.6)
    policy                name of a registered policy, or a policy
    out                   directory to write; None keeps the dataset in memory
    file_format           "parquet" or "arrow"
    force                 overwrite a finished dataset in `out`
    config, bank, dynamics, observation, num_threads   as of the environments
    progress              called after each shard with the episodes and transitions so far

    A shard depends on its episodes alone, so the same arguments give the same tables on any machine, and the
    same bytes under the same pyarrow. Raises ValueError, TypeError or DatasetError for arguments that cannot
    be, before anything is written; a run that ends early leaves nothing in `out`.
    """
    settings, items = read_rules(config, bank, dynamics)
    teacher = make_policy(policy)
    kind = read_observation(observation)
    learners = read_positive(num_learners, "num_learners")
    episodes = read_positive(episodes_per_learner, "episodes_per_learner")
    number = read_seed(seed)
    threads = read_positive(num_threads, "num_threads")
    if learners > FIRST_HELD_OUT:
        raise AlsimError(f"num_learners is at most 2**31, the others are held out for evaluation; got {learners}")
    if episodes > 2**31:
        raise AlsimError(f"episodes_per_learner is at most 2**31; got {episodes}")
    if items.num_los > MOST_LOS:
        raise AlsimError(f"a dataset holds at most {MOST_LOS} learning outcomes; the bank has {items.num_los}")
    if file_format not in FORMATS:
        raise AlsimError(f"file_format is one of {', '.join(map(repr, FORMATS))}; got {file_format!r}")
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "alsim_version": __version__,
        "environment": ENVIRONMENT_ID,
        "config": settings.to_dict(),
        "observation": kind,
        "policy": {"name": teacher.name},
        "seed": number,
        "num_learners": learners,
        "episodes_per_learner": episodes,
        "format": file_format,
    }

    def shards() -> Iterator[dict[str, pa.Table]]:
        rows, total = 0, learners * episodes
        for done in range(0, total, block_episodes(settings)):
            lanes = np.arange(done, min(done + block_episodes(settings), total))
            tables = tables_of(
                run(settings, items, teacher, number, lanes // episodes, lanes % episodes, kind, threads)
            )
            yield tables
            rows += tables["transitions"].num_rows
            if progress is not None:
                progress(done + len(lanes), rows)

    manifest["bank"] = {"num_los": items.num_los, "files": []}
    if out is None:
        parts = list(shards())
        tables = {name: pa.concat_tables([part[name] for part in parts]) for name in TABLES}
        manifest["tables"] = {name: {"rows": table.num_rows, "shards": []} for name, table in tables.items()}
        return Dataset(manifest, tables, items)
    with new_directory(Path(out), force=force) as directory:
        save_bank(items, directory / BANK)
        manifest["bank"] = {
            "num_los": items.num_los,
            "files": [entry_of(directory, f"{BANK}/{name}") for name in BANK_FILES],
        }
        entries: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        for shard, tables in enumerate(shards()):
            for name, table in tables.items():
                entries[name].append(write_shard(directory, name, shard, table, file_format))
        manifest["tables"] = {
            name: {"rows": sum(entry["rows"] for entry in shards_), "shards": shards_}
            for name, shards_ in entries.items()
        }
        write_json(directory / MANIFEST, manifest)
    return load_dataset(out)
