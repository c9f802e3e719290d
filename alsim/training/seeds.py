"""Trainings with several seeds, in one process each, and a summary over the seeds."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from alsim.arguments import read_positive, read_seed
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.evaluation.held_out import FINAL, HeldOut, evaluate
from alsim.jit.compile import COMPILED
from alsim.training import directory
from alsim.training.plan import BASELINES, TrainingPlan, log_notes, read_plan
from alsim.training.run import Training
from alsim.training.seeds_directory import (
    CURVES,
    MAX_SEEDS,
    PICTURE,
    SUMMARY,
    SeedsPlan,
    check_seeds,
    finished_seeds,
    folder_of,
    open_seeds,
    read_training,
)
from alsim.training.seeds_summary import draw_curves, summarize, write_curves
from alsim.training.seeds_workers import Failure, Progress, train_in_processes
from alsim.training.settings import Settings, TrainingError
from alsim.training.trainer import trainer_class
from alsim.types import short_repr
from alsim.utils.text import counted
from alsim.utils.workers import usable_cores

log = logging.getLogger(__name__)


@short_repr
class SeedsMoment(NamedTuple):
    """Progress of a training with several seeds."""

    steps: int
    """Number of interactions so far, of all seeds together."""
    total: int
    """Number of interactions of all trainings."""
    finished: int
    """Number of finished trainings."""
    seeds: int
    """Number of seeds."""
    training: Training | None
    """The training that has just finished, otherwise None."""


SeedsProgress = Callable[[SeedsMoment], object]
"""Callback that is called with a SeedsMoment."""


class SeedsError(TrainingError):
    """Error after some trainings failed and all others finished.

    failures  message of each failure, by seed
    """

    def __init__(self, message: str, failures: Mapping[int, str] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.failures = dict(failures)


@short_repr
@dataclass(frozen=True)
class SeedTrainings:
    """Finished trainings that differ only in their seeds.

    path       directory of all trainings
    trainings  the training of each seed, in order of the seeds
    summary    content of summary.json. Its key "metrics" has, for each metric of the final evaluation, the mean over
               the seeds, sd (standard deviation), se (standard error), min, median, max and n. The key "baselines" has
               the statistics of the policies uniform and rules, and "trainings" the metrics of each seed
    """

    path: Path
    trainings: tuple[Training, ...]
    summary: dict[str, Any]


def train_seeds(
    algorithm: str = "ppo",
    *,
    out: str | Path,
    seeds: int,
    processes: int | None = None,
    backend: str = "alsim",
    steps: int | None = None,
    num_envs: int | None = None,
    name: str | None = None,
    seed: int = 0,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    reward: str | None = None,
    hyperparameters: Settings | Mapping[str, Any] | str | Path | None = None,
    eval_every: int | None = None,
    num_threads: int = 1,
    force: bool = False,
    progress: SeedsProgress | None = None,
) -> SeedTrainings:
    """Train with several seeds, in one process each, and summarize the results over the seeds.

    out        directory to write. The training of seed s is in `out`/seed-s, and equals that of `train`. Unfinished
               trainings with the same settings are resumed, and finished ones are kept
    seeds      number of seeds, 1 to 10,000: `seed`, `seed` + 1, ...
    processes  largest number of processes at a time; None: the number of usable cores, divided by `num_threads`
    progress   called with a SeedsMoment several times per second

    All other arguments are those of `train`. Numerical libraries use one thread in each process. A program that calls
    this function needs `if __name__ == "__main__":`, because each process imports it.

    Returns the trainings and the summary, which are also written to `out`. Raises ValueError, TypeError or MissingExtra
    as `train` does. Raises SeedsError, a TrainingError, if trainings fail: after the others have finished.
    """
    first = read_plan(
        algorithm=algorithm,
        backend=backend,
        hyperparameters=hyperparameters,
        steps=steps,
        num_envs=num_envs,
        name=name,
        seed=seed,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        reward=reward,
        eval_every=eval_every,
        num_threads=num_threads,
    )
    plan = _read_seeds(first, seeds)
    default = max(1, usable_cores() // first.num_threads)
    workers = default if processes is None else read_positive(processes, "processes")
    folder = Path(out)
    check_seeds(folder, force=force)
    trainer_class(first.backend)  # before anything is written: its packages may be missing
    with open_seeds(folder, plan, force=force):
        return _Group(plan, folder, progress or (lambda moment: None)).finish(workers)


def _read_seeds(first: TrainingPlan, seeds: Any) -> SeedsPlan:
    """Return the plan of several seeds. Raises AlsimError for an invalid number of seeds."""
    count = read_positive(seeds, "seeds")
    if count > MAX_SEEDS:
        raise TrainingError(f"seeds must be at most {MAX_SEEDS:,}; got {count:,}")
    try:
        read_seed(first.seed + count - 1)
    except AlsimError:
        raise TrainingError(
            f"the last seed, seed + seeds - 1, must be at most 2**64 - 1; got {first.seed} + {count} - 1; "
            "use a smaller seed or fewer seeds"
        ) from None
    return SeedsPlan(first, count)


class _Group:
    """Trainings with several seeds in progress."""

    def __init__(self, plan: SeedsPlan, out: Path, progress: SeedsProgress) -> None:
        self.plan, self.out, self.progress = plan, out, progress
        self.finished = len(finished_seeds(out, plan.seeds))
        self.steps = {seed: self._steps_so_far(seed) for seed in plan.seeds}

    def _steps_so_far(self, seed: int) -> int:
        """Return the number of interactions of a training that is finished, or interrupted, or has not started."""
        if finished_seeds(self.out, [seed]):
            return self.plan.first.hyperparameters.total_steps
        return directory.checkpoint_steps(folder_of(self.out, seed)) or 0

    def finish(self, processes: int) -> SeedTrainings:
        """Train with all seeds that are not finished, and write the summary. Raises SeedsError."""
        done = finished_seeds(self.out, self.plan.seeds)
        remaining = [seed for seed in self.plan.seeds if seed not in {*done}]
        self._log_start(remaining)
        self._report(None)
        if remaining:
            if len(remaining) > 1 and processes > 1 and COMPILED:
                compile_training(self.plan.first)
            callbacks = Progress(self._record_steps, self._record_end)
            failures = train_in_processes(self.plan, self.out, remaining, processes, callbacks)
            if failures:
                raise self._error(failures)
        trainings = tuple(read_training(self.out, seed) for seed in self.plan.seeds)
        return SeedTrainings(self.out, trainings, self._write_summary(trainings))

    def _log_start(self, remaining: Sequence[int]) -> None:
        """Log notes on the settings, and how many seeds of a resumed training are finished."""
        if remaining:
            log_notes(self.plan.first)
        resumed = sum(self.steps[seed] > 0 for seed in remaining)
        if self.finished or resumed:
            others = f"; {counted(resumed, 'training')} resumed from the last checkpoint" if resumed else ""
            log.info(f"{self.finished} of {counted(self.plan.num_seeds, 'seed')} finished before{others}")

    def _record_steps(self, seed: int, steps: int) -> None:
        self.steps[seed] = steps
        self._report(None)

    def _record_end(self, seed: int) -> None:
        self.steps[seed] = self.plan.first.hyperparameters.total_steps
        self.finished += 1
        self._report(read_training(self.out, seed))

    def _report(self, training: Training | None) -> None:
        total = sum(self.steps.values())
        self.progress(SeedsMoment(total, self.plan.total_steps, self.finished, self.plan.num_seeds, training))

    def _error(self, failures: Mapping[int, Failure]) -> SeedsError:
        """Return the error for failed trainings: it names the seeds, and the cause of the first failure."""
        seeds = sorted(failures)
        first = failures[seeds[0]]
        others = f" (also {', '.join(map(str, seeds[1:]))})" if seeds[1:] else ""
        error = SeedsError(
            f"seed {seeds[0]}{others} failed: {first.reason}; {self.finished} of "
            f"{counted(self.plan.num_seeds, 'training')} in {self.out} are finished and kept",
            {seed: failures[seed].reason for seed in seeds},
        )
        error.__cause__ = first.trace
        return error

    def _write_summary(self, trainings: Sequence[Training]) -> dict[str, Any]:
        """Write the curves and the summary, and return the summary."""
        summary = summarize(self.plan, trainings)
        curves = [training.curve for training in trainings]
        write_curves(self.out / CURVES, curves)
        if find_spec("matplotlib") is None:
            log.info(f"{PICTURE} is not drawn, because Matplotlib is not installed: pip install '.[plot]'")
        else:
            draw_curves(self.out / PICTURE, curves, summary["baselines"])
        directory.write_json(self.out / SUMMARY, summary)
        return summary


def compile_training(plan: TrainingPlan) -> None:
    """Compile all functions of a training into the cache on disk, so that its processes do not all compile them.

    It evaluates policies on two learners, and trains for one rollout. Errors and warnings are left to the processes,
    which report them with their seed.
    """
    with suppress(ValueError, RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        _train_briefly(plan)


def _train_briefly(plan: TrainingPlan) -> None:
    """Evaluate the policies on two learners, and train for one rollout, without a directory."""
    hyperparameters = plan.hyperparameters.model_copy(update={"steps": plan.hyperparameters.rollout_steps})
    trainer = trainer_class(plan.backend)(plan._replace(hyperparameters=hyperparameters), 0)
    policy, learners = trainer.policy(), HeldOut(FINAL.first, 2)
    evaluate(policy, learners, plan.config, plan.bank, observation=policy.observation, num_threads=plan.num_threads)
    for name in BASELINES:
        evaluate(name, learners, plan.config, plan.bank, observation="mastery", num_threads=plan.num_threads)
    trainer.learn(lambda: None)
    trainer.close()


__all__ = ["SeedTrainings", "SeedsError", "SeedsMoment", "train_seeds"]
