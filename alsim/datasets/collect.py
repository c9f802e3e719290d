"""Generating datasets: a policy teaches learners, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
from alsim.policies import Policy
from alsim.rollouts import Plan, block_edges, read_plan, run_block
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
    learners = (num_learners, episodes_per_learner, seed, 0)
    plan = read_plan(policy, *learners, config, bank, dynamics, observation, num_threads)
    _check_plan(plan)
    if file_format not in FORMATS:
        raise AlsimError(f"file_format is one of {', '.join(map(repr, FORMATS))}; got {file_format!r}")
    shards = _shards(plan, progress)
    if out is None:
        parts = list(shards)
        tables = {name: pa.concat_tables([part[name] for part in parts]) for name in TABLES}
        held = {name: {"rows": table.num_rows, "shards": []} for name, table in tables.items()}
        return Dataset(_manifest(plan, file_format, [], held), tables, plan.bank)
    with new_directory(Path(out), force=force) as directory:
        save_bank(plan.bank, directory / BANK)
        files = [entry_of(directory, f"{BANK}/{name}") for name in BANK_FILES]
        entries: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        for number, tables in enumerate(shards):
            for name, table in tables.items():
                entries[name].append(write_shard(directory, name, number, table, file_format))
        held = {name: {"rows": sum(e["rows"] for e in written), "shards": written} for name, written in entries.items()}
        write_json(directory / MANIFEST, _manifest(plan, file_format, files, held))
    return load_dataset(out)


def _check_plan(plan: Plan) -> None:
    """Refuse what the columns of a dataset do not hold, and learners that are held out."""
    if plan.num_learners > FIRST_HELD_OUT:
        raise AlsimError(
            f"num_learners is at most 2**31, the others are held out for evaluation; got {plan.num_learners}"
        )
    if plan.episodes_per_learner > 2**31:
        raise AlsimError(f"episodes_per_learner is at most 2**31; got {plan.episodes_per_learner}")
    if plan.bank.num_los > MOST_LOS:
        raise AlsimError(f"a dataset holds at most {MOST_LOS} learning outcomes; the bank has {plan.bank.num_los}")


def _shards(plan: Plan, progress: Progress | None) -> Iterator[dict[str, pa.Table]]:
    """Run the plan, and hand out the tables of each block of episodes."""
    episodes, rows = 0, 0
    for edges in block_edges(plan):
        block = run_block(plan, *edges)
        tables = tables_of(block)
        yield tables
        episodes, rows = episodes + tables["episodes"].num_rows, rows + tables["transitions"].num_rows
        if progress is not None:
            progress(episodes, rows)


def _manifest(plan: Plan, file_format: str, bank_files: list[dict[str, Any]], tables: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest: what a dataset holds, and all that it takes to make it again."""
    return {
        "schema_version": SCHEMA_VERSION,
        "alsim_version": __version__,
        "environment": ENVIRONMENT_ID,
        "config": plan.config.to_dict(),
        "bank": {"num_los": plan.bank.num_los, "files": bank_files},
        "observation": plan.observation,
        "policy": {"name": plan.policy.name},
        "seed": plan.seed,
        "num_learners": plan.num_learners,
        "episodes_per_learner": plan.episodes_per_learner,
        "format": file_format,
        "tables": tables,
    }
