"""Generating datasets: a policy teaches learners, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, TypeVar

import pyarrow as pa

from alsim._version import __version__
from alsim.actions import MOST_LOS
from alsim.bank import Bank
from alsim.bank_files import save_bank
from alsim.classroom import Teacher
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
from alsim.helpers import Crew
from alsim.policies import Policy
from alsim.rollouts import Plan, block_edges, is_compiled, look_at_block, new_teacher, read_plan, run_block
from alsim.types import FIRST_HELD_OUT

Progress = Callable[[int, int], None]
"""Called with episodes done and transitions written so far."""


def generate_dataset(
    num_learners: int = 200,
    episodes_per_learner: int = 3,
    policy: str | Path | Policy = "uniform",
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
    policy                name of a registered policy, directory of a trained one, or a policy
    out                   directory to write; None keeps the dataset in memory
    file_format           "parquet" or "arrow"
    force                 overwrite a finished dataset in `out`
    config, bank, dynamics, observation   as of the environments
    num_threads           of a policy that is a rule, so many threads make shards of their own, each in 200 MB;
                          of another, they share each step
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
    if out is None:
        parts = list(_shards(plan, lambda number, tables: tables, progress, reuse=False))
        tables = {name: pa.concat_tables([part[name] for part in parts]) for name in TABLES}
        held = {name: {"rows": table.num_rows, "shards": []} for name, table in tables.items()}
        return Dataset(_manifest(plan, file_format, [], held), tables, plan.bank)
    with new_directory(Path(out), force=force) as directory:
        save_bank(plan.bank, directory / BANK)
        files = [entry_of(directory, f"{BANK}/{name}") for name in BANK_FILES]
        for name in TABLES:
            (directory / name).mkdir()

        def write(number: int, tables: dict[str, pa.Table]) -> dict[str, dict[str, Any]]:
            return {name: write_shard(directory, name, number, tables[name], file_format) for name in TABLES}

        written = list(_shards(plan, write, progress, reuse=True))
        entries = {name: [shard[name] for shard in written] for name in TABLES}
        held = {name: {"rows": sum(e["rows"] for e in shards), "shards": shards} for name, shards in entries.items()}
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


Tables = dict[str, pa.Table]
Keep = TypeVar("Keep")


def _shards(
    plan: Plan, keep: Callable[[int, Tables], Keep], progress: Progress | None, *, reuse: bool
) -> Iterator[Keep]:
    """Run the plan, and hand out, in order, what `keep` makes of the number and the tables of each shard.

    reuse  `keep` is done with the tables when it returns: their memory may serve the next shard

    A policy that is a rule makes shards side by side, one a thread; another may remember what it did, and gets
    them one after the other.
    """
    edges = block_edges(plan)
    threads = min(plan.num_threads, len(edges)) if is_compiled(plan) else 1
    done = _Done(progress)
    if threads == 1:
        maker = _Maker(plan, keep, reuse)
        for number, block in enumerate(edges):
            yield done.add(*maker.make(number, *block))
        return
    numbers, lock = iter(range(len(edges))), Lock()
    results: SimpleQueue[tuple[int, tuple[Keep, int, int] | None]] = SimpleQueue()

    def work(stopped: Callable[[], bool]) -> None:
        maker = _Maker(plan._replace(num_threads=1), keep, reuse)
        try:
            while not stopped():
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                results.put((number, maker.make(number, *edges[number])))
        except BaseException:
            results.put((-1, None))
            raise

    with Crew(threads, work) as crew:
        ready: dict[int, tuple[Keep, int, int]] = {}
        for number in range(len(edges)):
            while number not in ready:
                other, shard = results.get()
                if shard is None:
                    crew.wait()
                else:
                    ready[other] = shard
            yield done.add(*ready.pop(number))


class _Done:
    """Counts what is done, and tells it."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._episodes = self._rows = 0

    def add(self, kept: Keep, episodes: int, rows: int) -> Keep:
        self._episodes, self._rows = self._episodes + episodes, self._rows + rows
        if self._progress is not None:
            self._progress(self._episodes, self._rows)
        return kept


class _Maker(Generic[Keep]):
    """Makes one shard after the other; `reuse` in the same memory."""

    def __init__(self, plan: Plan, keep: Callable[[int, Tables], Keep], reuse: bool) -> None:
        self._plan, self._keep, self._reuse = plan, keep, reuse
        self._teacher: Teacher | None = None

    def make(self, number: int, start: int, stop: int) -> tuple[Keep, int, int]:
        """Return what was kept of a shard, and its numbers of episodes and of interactions."""
        if self._teacher is None and self._reuse:
            self._teacher = new_teacher(self._plan, stop - start)
        rollout = (
            run_block(self._plan, start, stop)
            if self._teacher is None
            else look_at_block(self._plan, self._teacher, start, stop)
        )
        return self._keep(number, tables_of(rollout)), stop - start, len(rollout.propensity)


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
