"""Generation of datasets: a policy teaches simulated learners, shard by shard."""

from __future__ import annotations

import json
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
from alsim.datasets.executors.threads import run_in_threads
from alsim.datasets.manifest import BANK, BANK_FILES, DatasetError
from alsim.datasets.schema import SCHEMA_VERSION, TABLES
from alsim.datasets.shards import Files, Job, Shard, TableMaker
from alsim.datasets.store import FORMATS, Dataset, load_dataset
from alsim.datasets.writer import open_writer
from alsim.dynamics import of_parameters, rules_fingerprint
from alsim.envs.registration import ENVIRONMENT_ID
from alsim.errors import AlsimError, InputTypeError
from alsim.mdp.actions import MOST_LOS
from alsim.policies import Policy, is_rule
from alsim.policies.compiled import policy_fingerprint
from alsim.policies.nested import with_nested
from alsim.rollouts.collector import is_compiled
from alsim.rollouts.plan import RolloutPlan, block_episodes, read_plan
from alsim.rollouts.truth import check_chance
from alsim.types import FIRST_HELD_OUT
from alsim.utils.files import replacing, to_json
from alsim.utils.run_directory import file_entry

MOST_SHARDS = 1_000_000
"""Maximum number of shards. The driver process keeps about 2 kB for each."""

Progress = Callable[[int, int], None]
"""Callback that is called with the numbers of episodes and transitions so far."""

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
    store_observations: bool = True,
    truth: bool = False,
    file_format: str = "parquet",
    episodes_per_shard: int | None = None,
    force: bool = False,
    num_threads: int = 1,
    num_workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    progress: Progress | None = None,
    action_mask: Any = None,
) -> Dataset:
    """Let a policy teach simulated learners, and return the episodes as a dataset.

    num_learners          learners 0 … num_learners - 1 of the seed, at most 2**31 (clause S11.4)
    episodes_per_learner  episodes per learner; each draws the initial state of the learner again (clause S1.6)
    policy                name of a registered policy, directory of a trained one, or a policy object
    out                   directory to write; None keeps the dataset in memory
    store_observations    False leaves observations out; they are recomputed on first use
    truth                 True adds columns with the latent state before each interaction, and the chance of a correct
                          answer, for code that scores a method (clause S15.1)
    file_format           "parquet" or "arrow"
    episodes_per_shard    episodes per file; None: 4096, or fewer if max_episode_steps is above 140
    force                 replace a finished dataset in `out`, or an unfinished one with other settings
    config, bank, dynamics, observation   as for the environments
    num_threads           number of threads: with a compiled policy, each makes its own shard (200 MB of memory each);
                          with another policy, they share each step
    num_workers           number of worker processes; None: this process. With Ray, maximum number of concurrent tasks;
                          None: one per processor
    engine                "local", or "ray" (optional dependency)
    ray_address           address of a Ray cluster; None: RAY_ADDRESS, or a temporary cluster on this machine
    progress              called after each shard with the numbers of episodes and transitions so far
    action_mask           as for `alsim.rollout`; a function must be at the top level of a module, since the manifest
                          records its name

    Equal arguments give equal tables on any machine, and equal bytes with the same version of pyarrow, for any number
    of threads and workers. An interrupted run keeps its complete shards; the same arguments resume it. Raises
    ValueError, TypeError or DatasetError for invalid arguments before anything is written.
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
        keep_observations=store_observations,
        action_mask=action_mask,
    )
    _check_arguments(plan, file_format, store_observations, truth)
    job = Job(plan, Path(), _read_shard_size(episodes_per_shard, plan), file_format, truth)
    executor = read_engine(engine, plan, num_workers, ray_address)
    if out is None:
        _check_no_workers(engine, num_workers)
        return _generate_in_memory(job, progress)
    return _generate_files(job, Path(out), executor, progress, force=force)


def _check_arguments(plan: RolloutPlan, file_format: str, store_observations: bool, truth: bool) -> None:
    """Raise AlsimError for held-out learners, numbers too large for the types of the columns, and invalid options."""
    if plan.num_learners > FIRST_HELD_OUT:
        raise AlsimError(
            "num_learners must be at most 2**31, as later learners are held out for evaluation; "
            f"got {plan.num_learners}"
        )
    if plan.episodes_per_learner > 2**31:
        raise AlsimError(f"episodes_per_learner must be at most 2**31; got {plan.episodes_per_learner}")
    if plan.bank.num_los > MOST_LOS:
        raise AlsimError(
            f"the bank of a dataset must have at most {MOST_LOS} learning outcomes; got {plan.bank.num_los}"
        )
    if file_format not in FORMATS:
        raise AlsimError(f"file_format must be one of {', '.join(map(repr, FORMATS))}; got {file_format!r}")
    for name, flag in (("store_observations", store_observations), ("truth", truth)):
        if not isinstance(flag, bool):
            raise InputTypeError(f"{name} must be True or False; got {flag!r}")
    if truth:
        check_chance(of_parameters(type(plan.config.dynamics)))


def _read_shard_size(episodes_per_shard: int | None, plan: RolloutPlan) -> int:
    """Return the number of episodes per shard. Raises AlsimError for more than MOST_SHARDS shards."""
    size = block_episodes(plan.config)
    if episodes_per_shard is not None:
        size = read_positive(episodes_per_shard, "episodes_per_shard")
    shards = -(-plan.num_episodes // size)
    if shards > MOST_SHARDS:
        raise AlsimError(
            f"a dataset must have at most {MOST_SHARDS:,} shards; got {shards:,} for {plan.num_episodes:,} episodes, "
            f"with {size:,} per shard: use a larger episodes_per_shard, or fewer learners per dataset"
        )
    return size


def _check_no_workers(engine: str, num_workers: int | None) -> None:
    """Raise AlsimError if workers are requested for a dataset in memory: they return results only as files."""
    if engine != "local" or num_workers not in (None, 1):
        raise AlsimError(
            f"out must be a directory for engine={engine!r} and num_workers={num_workers}; got None: pass out, because "
            "workers return results only as files, or use num_threads"
        )


def _generate_in_memory(job: Job, progress: Progress | None) -> Dataset:
    """Return a dataset without writing it."""
    counter = _ProgressCounter(progress)
    compiled = is_compiled(job.plan)
    threads = job.plan.num_threads if compiled else 1
    thread_job = job._replace(plan=job.plan._replace(num_threads=1)) if threads > 1 else job

    def new_maker() -> Callable[[int], tuple[int, dict[str, pa.Table]]]:
        make = TableMaker(thread_job, reuse=False)
        return lambda number: (number, make(number))

    parts: dict[int, dict[str, pa.Table]] = {}
    with closing(run_in_threads(new_maker, range(len(job.edges())), threads)) as results:
        for number, part in results:
            parts[number] = part
            counter.add(part["episodes"].num_rows, part["transitions"].num_rows)
    tables = {name: pa.concat_tables([parts[number][name] for number in sorted(parts)]) for name in TABLES}
    entries = {name: {"rows": table.num_rows, "shards": []} for name, table in tables.items()}
    return Dataset({**_description(job, []), "tables": entries}, tables, job.plan.bank)


def _generate_files(job: Job, out: Path, executor: Engine, progress: Progress | None, *, force: bool) -> Dataset:
    """Write a dataset to a directory, or resume it there, and return it."""
    with tempfile.TemporaryDirectory(prefix="alsim-") as staged:
        save_bank(job.plan.bank, Path(staged, BANK))
        description = _description(job, [file_entry(Path(staged), f"{BANK}/{name}") for name in BANK_FILES])
        plan = {**description, "code": _code(job.plan)}
        with open_writer(out, plan, Path(staged, BANK), force=force) as writer:
            if not writer.finished:
                shards = _make_shards(job._replace(directory=writer.directory.resolve()), executor, progress)
                entries = _table_entries([shards[number] for number in sorted(shards)])
                writer.commit({**description, "tables": entries})
    return _load_own(out, description)


def _load_own(out: Path, description: Mapping[str, Any]) -> Dataset:
    """Return the dataset that this process has written. Raises DatasetError if another process has replaced it."""
    with replacing(out, DatasetError):
        dataset = load_dataset(out)
    if any(dataset.manifest[key] != value for key, value in json.loads(to_json(description)).items()):
        raise DatasetError(f"{out} was written, and then replaced by another process; choose another directory")
    return dataset


def _make_shards(job: Job, executor: Engine, progress: Progress | None) -> dict[int, Files]:
    """Make all missing shards, and return the entries of all shards by number."""
    counter, files, origins = _ProgressCounter(progress), dict[int, Files](), Counter[str]()
    with closing(executor(job, range(len(job.edges())))) as shards:
        for shard in shards:
            files[shard.number] = shard.files
            origins[shard.origin] += 1
            _warn_of_damage(shard)
            counter.add(shard.files["episodes"]["rows"], shard.files["transitions"]["rows"])
    if origins["kept"] or origins["repaired"]:
        log.info("%s shards were complete, %s were made", origins["kept"], origins["made"] + origins["repaired"])
    return files


def _warn_of_damage(shard: Shard) -> None:
    """Log a warning if a shard was damaged."""
    if shard.origin == "repaired":
        log.warning("shard %s was damaged or missing and was made again", shard.number)


class _ProgressCounter:
    """Counter of episodes and transitions, which it reports to a callback."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._episodes = self._rows = 0

    def add(self, episodes: int, rows: int) -> None:
        self._episodes, self._rows = self._episodes + episodes, self._rows + rows
        if self._progress is not None:
            self._progress(self._episodes, self._rows)


def _table_entries(shards: list[Files]) -> dict[str, Any]:
    """Return the entries of the tables in the manifest."""
    entries = {name: [files[name] for files in shards] for name in TABLES}
    return {name: {"rows": sum(e["rows"] for e in files), "shards": files} for name, files in entries.items()}


def _description(job: Job, bank_files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the manifest without its tables: everything that is needed to generate the dataset again."""
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
        **({"truth": True} if job.truth else {}),
        **({} if plan.action_mask is None else {"action_mask": plan.action_mask.to_plain()}),
        "policy": with_nested(plan.policy, _policy_entry),
        "seed": plan.seed,
        "num_learners": plan.num_learners,
        "episodes_per_learner": plan.episodes_per_learner,
        "episodes_per_shard": job.episodes_per_shard,
        "format": job.file_format,
    }


def _policy_entry(policy: Policy) -> dict[str, Any]:
    """Return the name of a policy, and its digest if it has one."""
    digest = getattr(policy, "digest", None)
    if digest is None:
        return {"name": policy.name}
    if not isinstance(digest, str):
        raise InputTypeError(f"the digest of the policy {policy.name!r} must be a string; got {digest!r}")
    return {"name": policy.name, "digest": digest}


def _code(plan: RolloutPlan) -> dict[str, Any]:
    """Return fingerprints that distinguish the policy and the dynamics from others of the same name.

    They are compared when a dataset is resumed. They are not part of the manifest, because the bytes of code differ
    between Python versions.
    """
    return {**with_nested(plan.policy, _policy_code), "dynamics": rules_fingerprint(type(plan.config.dynamics))}


def _policy_code(policy: Policy) -> dict[str, Any]:
    """Return the class of a policy, and the parameters and the digest of a rule."""
    code: dict[str, Any] = {"policy": f"{type(policy).__module__}.{type(policy).__qualname__}"}
    if is_rule(policy):
        code |= {"parameters": [repr(value) for value in policy.parameters], "rule": policy_fingerprint(policy)}
    return code
