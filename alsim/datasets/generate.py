"""Generating datasets: a policy teaches learners, shard by shard."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from alsim._version import __version__
from alsim.arguments import read_positive
from alsim.bank.files import save_bank
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.datasets.executors import Engine, read_engine
from alsim.datasets.executors.threads import side_by_side
from alsim.datasets.schema import SCHEMA_VERSION, TABLES
from alsim.datasets.shards import Files, Job, Shard, TableMaker
from alsim.datasets.store import BANK, BANK_FILES, FORMATS, OBSERVATIONS, Dataset, entry_of, load_dataset
from alsim.datasets.writer import open_writer
from alsim.dynamics import rules_fingerprint
from alsim.envs.registration import ENVIRONMENT_ID
from alsim.errors import AlsimError, InputTypeError
from alsim.mdp.actions import MOST_LOS
from alsim.policies import Policy, is_rule
from alsim.policies.compiled import policy_fingerprint
from alsim.rollouts.collector import is_compiled
from alsim.rollouts.plan import RolloutPlan, block_episodes, read_plan
from alsim.types import FIRST_HELD_OUT

MOST_SHARDS = 1_000_000
"""The driver keeps some 2 kB of each."""

Progress = Callable[[int, int], None]
"""Called with episodes done and transitions written so far."""

log = logging.getLogger(__name__)


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
    observations: str = "full",
    file_format: str = "parquet",
    episodes_per_shard: int | None = None,
    force: bool = False,
    num_threads: int = 1,
    num_workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Let a policy teach learners, and return all that happened as a dataset.

    num_learners          learners 0 … num_learners - 1 of the seed, at most 2**31 (clause S11.4)
    episodes_per_learner  each a fresh draw of the learner (clause S1.6)
    policy                name of a registered policy, directory of a trained one, or a policy
    out                   directory to write; None keeps the dataset in memory
    observations          "full", or "none": they are not stored, and made again when they are asked for
    file_format           "parquet" or "arrow"
    episodes_per_shard    None: 4096, fewer where max_episode_steps is above 140
    force                 overwrite a finished dataset in `out`, or what is under way there under another plan
    config, bank, dynamics, observation   as of the environments
    num_threads           of a policy that is a rule, so many threads make shards of their own, each in 200 MB;
                          of another, they share each step
    num_workers           processes that make shards, each in a thread of its own; under Ray, most tasks at once
                          (None: one process; under Ray, as many as there are processors)
    engine                "local", or "ray", for the extra of this name
    ray_address           of a cluster; None is Ray's own choice
    progress              called after each shard with the episodes and transitions so far

    A shard depends on its episodes alone, so the same arguments give the same tables on any machine, and the
    same bytes under the same pyarrow, whoever makes them. A run that ends early leaves the shards that are whole,
    and no dataset: the same arguments go on with it. Raises ValueError, TypeError or DatasetError for arguments
    that cannot be, before anything is written.
    """
    plan = read_plan(
        policy,
        num_learners=num_learners,
        episodes_per_learner=episodes_per_learner,
        seed=seed,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        num_threads=num_threads,
        keep_observations=observations == "full",
    )
    _check_plan(plan)
    _check_choice("file_format", file_format, FORMATS)
    _check_choice("observations", observations, OBSERVATIONS)
    size = block_episodes(plan.config)
    if episodes_per_shard is not None:
        size = read_positive(episodes_per_shard, "episodes_per_shard")
    _check_shards(plan, size)
    makers = read_engine(engine, plan, num_workers, ray_address)
    job = Job(plan, Path(), size, file_format)
    if out is None:
        if engine != "local" or num_workers not in (None, 1):
            raise AlsimError("workers write files, and nothing else comes back from them; give `out`, or no workers")
        return _in_memory(job, progress)
    return _in_files(job, Path(out), makers, progress, force=force)


def _check_plan(plan: RolloutPlan) -> None:
    """Refuse what the columns of a dataset do not hold, and learners that are held out."""
    if plan.num_learners > FIRST_HELD_OUT:
        raise AlsimError(
            f"num_learners is at most 2**31, the others are held out for evaluation; got {plan.num_learners}"
        )
    if plan.episodes_per_learner > 2**31:
        raise AlsimError(f"episodes_per_learner is at most 2**31; got {plan.episodes_per_learner}")
    if plan.bank.num_los > MOST_LOS:
        raise AlsimError(f"a dataset holds at most {MOST_LOS} learning outcomes; the bank has {plan.bank.num_los}")


def _check_shards(plan: RolloutPlan, size: int) -> None:
    """Refuse what this process could not keep account of."""
    shards = -(-plan.num_episodes // size)
    if shards > MOST_SHARDS:
        raise AlsimError(
            f"{plan.num_episodes:,} episodes are {shards:,} shards of {size:,}; a dataset has at most "
            f"{MOST_SHARDS:,}: give a larger episodes_per_shard, or datasets of fewer learners"
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise AlsimError(f"{name} is one of {', '.join(map(repr, choices))}; got {value!r}")


def _in_memory(job: Job, progress: Progress | None) -> Dataset:
    """Return a dataset that is written nowhere."""
    done = _Done(progress)
    compiled = is_compiled(job.plan)
    threads = job.plan.num_threads if compiled else 1
    alone = job._replace(plan=job.plan._replace(num_threads=1)) if threads > 1 else job

    def new_maker() -> Callable[[int], tuple[int, dict[str, pa.Table]]]:
        make = TableMaker(alone, reuse=False)
        return lambda number: (number, make(number))

    parts: dict[int, dict[str, pa.Table]] = {}
    with closing(side_by_side(new_maker, range(len(job.edges())), threads)) as made:
        for number, part in made:
            parts[number] = part
            done.add(part["episodes"].num_rows, part["transitions"].num_rows)
    tables = {name: pa.concat_tables([parts[number][name] for number in sorted(parts)]) for name in TABLES}
    held = {name: {"rows": table.num_rows, "shards": []} for name, table in tables.items()}
    return Dataset({**_described(job, []), "tables": held}, tables, job.plan.bank)


def _in_files(job: Job, out: Path, makers: Engine, progress: Progress | None, *, force: bool) -> Dataset:
    """Return a dataset that is written to a directory, or gone on with there."""
    with tempfile.TemporaryDirectory(prefix="alsim-") as staged:
        save_bank(job.plan.bank, Path(staged, BANK))
        description = _described(job, [entry_of(Path(staged), f"{BANK}/{name}") for name in BANK_FILES])
        plan = {**description, "code": _code(job.plan)}
        with open_writer(out, plan, Path(staged, BANK), force=force) as work:
            if not work.finished:
                shards = _made(job._replace(directory=work.directory.resolve()), makers, progress)
                work.commit({**description, "tables": _tables([shards[number] for number in sorted(shards)])})
    return load_dataset(out)


def _made(job: Job, makers: Engine, progress: Progress | None) -> dict[int, Files]:
    """Have all shards made that are not there, and return what the manifest says of each."""
    done, files, origins = _Done(progress), dict[int, Files](), Counter[str]()
    with closing(makers(job, range(len(job.edges())))) as shards:
        for shard in shards:
            files[shard.number] = shard.files
            origins[shard.origin] += 1
            _warn_of_damage(shard)
            done.add(shard.files["episodes"]["rows"], shard.files["transitions"]["rows"])
    if origins["kept"] or origins["mended"]:
        log.info("%s shards were whole, %s were made", origins["kept"], origins["made"] + origins["mended"])
    return files


def _warn_of_damage(shard: Shard) -> None:
    if shard.origin == "mended":
        log.warning("shard %s was damaged or missing: it was made again", shard.number)


class _Done:
    """Counts what is done, and tells it."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._episodes = self._rows = 0

    def add(self, episodes: int, rows: int) -> None:
        self._episodes, self._rows = self._episodes + episodes, self._rows + rows
        if self._progress is not None:
            self._progress(self._episodes, self._rows)


def _tables(shards: list[Files]) -> dict[str, Any]:
    """Return what the manifest says of the tables."""
    entries = {name: [files[name] for files in shards] for name in TABLES}
    return {name: {"rows": sum(e["rows"] for e in files), "shards": files} for name, files in entries.items()}


def _described(job: Job, bank_files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a dataset is made from, and all that it takes to make it again, in the manifest's words."""
    plan = job.plan
    return {
        "schema_version": SCHEMA_VERSION,
        "alsim_version": __version__,
        "pyarrow_version": pa.__version__,
        "environment": ENVIRONMENT_ID,
        "config": plan.config.to_dict(),
        "bank": {"num_los": plan.bank.num_los, "files": bank_files},
        "observation": plan.observation,
        "observations": "full" if job.plan.keep_observations else "none",
        "policy": _policy(plan.policy),
        "seed": plan.seed,
        "num_learners": plan.num_learners,
        "episodes_per_learner": plan.episodes_per_learner,
        "episodes_per_shard": job.episodes_per_shard,
        "format": job.file_format,
    }


def _policy(policy: Policy) -> dict[str, Any]:
    """Return what is known of a policy: its name, and what it says of its content."""
    digest = getattr(policy, "digest", None)
    if digest is None:
        return {"name": policy.name}
    if not isinstance(digest, str):
        raise InputTypeError(f"the digest of the policy {policy.name!r} is a word; got {digest!r}")
    return {"name": policy.name, "digest": digest}


def _code(plan: RolloutPlan) -> dict[str, Any]:
    """Return what tells a policy and a dynamics from others of their name.

    That is for whoever goes on with a dataset under way, and not in its manifest: bytes of code differ from
    Python to Python.
    """
    policy = type(plan.policy)
    told: dict[str, Any] = {"policy": f"{policy.__module__}.{policy.__qualname__}"}
    if is_rule(plan.policy):
        parameters = plan.policy.parameters
        told |= {"parameters": [repr(value) for value in parameters], "rule": policy_fingerprint(plan.policy)}
    return {**told, "dynamics": rules_fingerprint(type(plan.config.dynamics))}
