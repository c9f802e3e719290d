"""Output directory of a training with several seeds: settings, one training per seed, and a summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from alsim.policies.network import NetworkPolicy, PolicyError
from alsim.training import directory
from alsim.training.curve import read_curve
from alsim.training.plan import TrainingPlan
from alsim.training.run import Training
from alsim.training.settings import TrainingError
from alsim.utils.reading import read_json, reason
from alsim.utils.run_directory import Layout, RunDirectory

SETTINGS, SUMMARY = "settings.json", "summary.json"
CURVES, PICTURE, LOCK = "curves.csv", "curves.png", ".alsim-lock"
MARK = directory.SEEDS_MARK
"""Key of the version of the format in the settings and in the summary."""
VERSION = 1
MAX_SEEDS = 10_000
"""Largest number of seeds of one directory."""


class SeedsPlan(NamedTuple):
    """Trainings that differ only in their seeds: those of `first`, with `first.seed` and the next seeds."""

    first: TrainingPlan
    num_seeds: int

    @property
    def seeds(self) -> range:
        """All seeds."""
        return range(self.first.seed, self.first.seed + self.num_seeds)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the results of the trainings, JSON-ready; "seed" is the first seed."""
        return {**self.first.settings, "seeds": self.num_seeds}

    @property
    def total_steps(self) -> int:
        """Number of interactions of all trainings."""
        return self.first.hyperparameters.total_steps * self.num_seeds

    def plan(self, seed: int) -> TrainingPlan:
        """Return the plan of the training with a seed."""
        return self.first._replace(seed=seed)


def folder_of(out: Path, seed: int) -> Path:
    """Return the directory of the training with a seed."""
    return out / f"seed-{seed}"


def is_finished(out: Path, seed: int) -> bool:
    """Return whether the training with a seed is finished."""
    return (folder_of(out, seed) / directory.EVALUATION).is_file()


def is_seeds_directory(out: Path) -> bool:
    """Return whether a directory holds a training with several seeds, finished or not."""
    return any(MARK in directory.json_object(out / name) for name in (SETTINGS, SUMMARY))


def stored_seeds(out: Path) -> range:
    """Return the seeds of the directory, an empty range if they are unknown."""
    for name in (SETTINGS, SUMMARY):
        content = directory.json_object(out / name)
        first, count = content.get("seed"), content.get("seeds")
        if MARK in content and type(first) is int and type(count) is int and 1 <= count <= MAX_SEEDS:
            return range(first, first + count)
    return range(0)


def _run_directory(out: Path) -> RunDirectory:
    """Return the directory with its entries: only folders of its own seeds belong to it."""
    layout = Layout(
        kind="training with several seeds",
        error=TrainingError,
        plan=SETTINGS,
        result=SUMMARY,
        lock=LOCK,
        contents=(CURVES, PICTURE, *(folder_of(out, seed).name for seed in stored_seeds(out))),
        mark=MARK,
        inner=r"seed-[0-9]+/.+",  # `check_seeds` checks each training
        derived=directory.LAYOUT.derived,
    )
    return RunDirectory(out, layout)


def check_seeds(out: Path, *, force: bool) -> None:
    """Raise TrainingError if `out` has foreign files, or finished trainings that `force` does not replace."""
    group = _run_directory(out)
    group.check_location()
    if directory.MARK in directory.json_object(out / SETTINGS):
        raise TrainingError(
            f"{out} holds a training with one seed; choose a new or empty directory for several seeds, or leave seeds "
            "(--seeds) out"
        )
    group.check_ownership()
    for seed in stored_seeds(out):
        if folder_of(out, seed).exists() or folder_of(out, seed).is_symlink():
            directory.check_directory(folder_of(out, seed), force=True)
    if group.is_finished and not force:
        raise group.finished_error()


@contextmanager
def open_seeds(out: Path, plan: SeedsPlan, *, force: bool) -> Iterator[None]:
    """Lock the directory `out` and prepare it for trainings with several seeds, new or resumed.

    Raises TrainingError as `alsim.training.directory.open_directory` does.
    """
    check_seeds(out, force=force)
    settings = {MARK: VERSION, **plan.settings}
    _run_directory(out).create()
    with _run_directory(out).locked():
        group = _run_directory(out)  # another process may have written it meanwhile
        if group.is_finished and not force:
            raise group.finished_error()
        if force:
            group.clear()
        if not group.has_plan:
            directory.write_json(out / SETTINGS, settings)
        elif differences := group.differences(settings):
            raise group.conflict(differences)
        _check_trainings(out, plan)
        yield


def _check_trainings(out: Path, plan: SeedsPlan) -> None:
    """Raise TrainingError if the training of a seed has other settings."""
    for seed in plan.seeds:
        run = RunDirectory(folder_of(out, seed), directory.LAYOUT)
        if run.has_plan and (
            differences := run.differences({directory.MARK: directory.VERSION, **plan.plan(seed).settings})
        ):
            directory.check_version(folder_of(out, seed))
            raise run.conflict(differences)


def read_training(out: Path, seed: int) -> Training:
    """Return the finished training with a seed. Raises TrainingError, which names the damaged file."""
    folder = folder_of(out, seed)
    file = folder / directory.EVALUATION
    try:
        evaluation = read_json(file, inside=folder)
        return Training(folder, NetworkPolicy.load(folder), evaluation, read_curve(folder / directory.CURVE))
    except PolicyError as error:
        raise TrainingError(f"{error}; delete {folder} to train with this seed again") from None
    except (OSError, ValueError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(
            f"{file} cannot be read: {reason(error)}; delete {folder} to train with this seed again"
        ) from None


def finished_seeds(out: Path, seeds: Sequence[int]) -> list[int]:
    """Return the seeds whose trainings are finished."""
    return [seed for seed in seeds if is_finished(out, seed)]


__all__ = [
    "SeedsPlan",
    "check_seeds",
    "finished_seeds",
    "folder_of",
    "is_seeds_directory",
    "open_seeds",
    "read_training",
]
