"""Output directory of a training: settings, checkpoints and evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alsim.config import BANK_KEYS
from alsim.training.settings import TrainingError
from alsim.utils.files import to_json, write_atomic
from alsim.utils.reading import read_json, reason
from alsim.utils.run_directory import (
    FORCE,
    Layout,
    RunDirectory,
    delete_unfinished_folders,
    read_folder,
    write_folder,
)

SETTINGS, EVALUATION = "settings.json", "evaluation.json"
CURVE, PICTURE, MODEL = "curve.csv", "curve.png", "model.zip"
CHECKPOINTS, LOCK = "checkpoints", ".alsim-lock"
MARK = "alsim_training"
"""Key of the version of the format in the settings."""
SEEDS_MARK = "alsim_training_seeds"
"""Such a key in the settings of a directory with several seeds."""
VERSION = 2
DIGITS = 20
"""Digits of a checkpoint's name, the number of interactions, so that names sort in order."""
LAYOUT = Layout(
    kind="training",
    error=TrainingError,
    plan=SETTINGS,
    result=EVALUATION,
    lock=LOCK,
    contents=(CURVE, PICTURE, MODEL, CHECKPOINTS, "policy.npz", "policy.json"),
    mark=MARK,
    inner=rf"{CHECKPOINTS}/[0-9]{{{DIGITS}}}/[^/]+",
    derived={"eval_every": ("hyperparameters.steps",), "bank": tuple(f"config.{key}" for key in BANK_KEYS)},
)


@contextmanager
def open_directory(out: Path, settings: Mapping[str, Any], *, force: bool) -> Iterator[Path]:
    """Lock the directory `out` and prepare it for a training, new or resumed.

    out       directory to write
    settings  everything that determines the result of the training, JSON-ready
    force     delete an existing training, finished or not

    Raises TrainingError if `out` holds a finished training or one with other settings and `force` is False. Also
    raises it if another process uses `out`, or if `out` contains other files.
    """
    check_directory(out, force=force)
    plan = {MARK: VERSION, **settings}
    directory = RunDirectory(out, LAYOUT)
    directory.create()
    with directory.locked():
        if directory.is_finished and not force:
            raise directory.finished_error()
        if force:
            directory.clear()
        if not directory.has_plan:
            write_json(out / SETTINGS, plan)
        elif differences := directory.differences(plan):
            check_version(out)
            raise directory.conflict(differences)
        yield out


def check_version(out: Path) -> None:
    """Raise TrainingError if another version of alsim wrote the training in `out`, which no settings can resume."""
    version = json_object(out / SETTINGS).get(MARK)
    if version != VERSION:
        raise TrainingError(
            f"{out} holds an unfinished training of another version: {MARK} is {version!r:.100}, and this version of "
            f"alsim reads {VERSION}; {FORCE} deletes it and starts again"
        )


def check_directory(out: Path, *, force: bool) -> None:
    """Raise TrainingError if `out` has foreign files, or a finished training that `force` does not replace."""
    directory = RunDirectory(out, LAYOUT)
    directory.check_location()
    if SEEDS_MARK in json_object(out / SETTINGS):
        raise TrainingError(
            f"{out} holds a training with several seeds; pass the number of seeds (--seeds), or choose a new or empty "
            "directory"
        )
    directory.finish_groups()
    directory.check_ownership()
    if directory.is_finished and not force:
        raise directory.finished_error()


def json_object(file: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file, or an empty one if there is none."""
    try:
        content = read_json(file, inside=file.parent)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_checkpoint(out: Path, steps: int, files: Mapping[str, bytes]) -> None:
    """Write a checkpoint atomically, with checksums, and then delete the earlier ones."""
    folder = out / CHECKPOINTS
    folder.mkdir(exist_ok=True)
    delete_unfinished_folders(folder)  # before writing: they may have filled the disk
    checkpoint = folder / f"{steps:0{DIGITS}d}"
    write_folder(checkpoint, files)
    for entry in _checkpoints(out):
        if entry != checkpoint:
            shutil.rmtree(entry)


def read_checkpoint(checkpoint: Path) -> dict[str, bytes]:
    """Return the files of a checkpoint. Raises TrainingError, which names the checkpoint, if it is damaged."""
    try:
        return read_folder(checkpoint)
    except (OSError, ValueError) as error:
        raise damaged(checkpoint, error) from None


def damaged(checkpoint: Path, error: BaseException) -> TrainingError:
    """Return the error for a checkpoint that cannot be read."""
    return TrainingError(f"{checkpoint} is damaged: {reason(error)}; {FORCE} starts the training again")


def latest_checkpoint(out: Path) -> Path | None:
    """Return the last checkpoint, or None if there is none."""
    checkpoints = _checkpoints(out)
    return checkpoints[-1] if checkpoints else None


def _checkpoints(out: Path) -> list[Path]:
    """Return all checkpoints, in order."""
    folder = out / CHECKPOINTS
    return (
        sorted(entry for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir())
        if folder.is_dir()
        else []
    )


def checkpoint_steps(out: Path) -> int | None:
    """Return the number of interactions at the last checkpoint, or None if there is none."""
    checkpoint = latest_checkpoint(out)
    return None if checkpoint is None else int(checkpoint.name)


def delete_checkpoints(out: Path) -> None:
    """Delete all checkpoints of a finished training, and their folder unless it contains other files."""
    for checkpoint in _checkpoints(out):
        shutil.rmtree(checkpoint, ignore_errors=True)
    with suppress(OSError):
        delete_unfinished_folders(out / CHECKPOINTS)
        (out / CHECKPOINTS).rmdir()


def write_json(file: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_atomic(file, to_json(value))
