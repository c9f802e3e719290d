"""The directory of a training: its settings are written first, its evaluation last, checkpoints in between."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from alsim.training.settings import TrainingError
from alsim.utils.files import write_whole

SETTINGS, EVALUATION = "settings.json", "evaluation.json"
CURVE, PICTURE, MODEL = "curve.csv", "curve.png", "model.zip"
CHECKPOINTS, LOCK = "checkpoints", ".lock"
SUMS, UNFINISHED = "sums.json", ".unfinished-"
OWN = {SETTINGS, EVALUATION, CURVE, PICTURE, MODEL, CHECKPOINTS, LOCK, "policy.json", "policy.npz"}
DIGITS = 20
"""Of a checkpoint's number of interactions, so that names are in its order."""


@contextmanager
def run_directory(out: Path, settings: Mapping[str, Any], *, force: bool) -> Iterator[Path]:
    """Give the directory `out` to a training with these settings: new, or where one like it was broken off.

    force  begin anew, in place of what is there

    Raises TrainingError if `out` holds a finished training, unless forced; one with other settings, unless forced; one
    that goes on in another process; or anything else, even then.
    """
    refuse_place(out)
    refuse_finished(out, force=force)
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        refuse_finished(out, force=force)
        if force:
            _clear(out)
        _agree(out, settings)
        yield out
    (out / LOCK).unlink(missing_ok=True)


def refuse_place(out: Path) -> None:
    """Raise TrainingError if `out` is no place for a training."""
    if out.is_symlink():
        raise TrainingError(f"{out} is a symbolic link; name the directory itself")
    if not out.exists():
        return
    if not out.is_dir():
        raise TrainingError(f"{out} is not a directory")
    if out.samefile(Path()):
        raise TrainingError(f"{out} is the working directory; a training wants a directory of its own")
    others = {entry.name for entry in out.iterdir()} - OWN
    others = {name for name in others if not name.startswith(tuple(f".{own}-" for own in OWN))}  # half-written
    if others:
        raise TrainingError(f"{out} holds other files ({min(others)}); a training wants a directory of its own")


def refuse_finished(out: Path, *, force: bool) -> None:
    """Raise TrainingError if `out` holds a finished training, unless forced."""
    if (out / EVALUATION).exists() and not force:
        raise TrainingError(f"{out} holds a finished training already; force overwrites it")


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other processes out of the directory; the system ends this with the process, however it ends."""
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(f"{out}: another process is training there") from None
    try:
        yield
    finally:
        lock.release()


def _clear(out: Path) -> None:
    """Delete a training, its evaluation first, so that what is left at any moment is no finished one."""
    (out / EVALUATION).unlink(missing_ok=True)
    for entry in out.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _agree(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings, or raise TrainingError if those that are there are others."""
    file = out / SETTINGS
    if not file.exists():
        write_json(file, settings)
        return
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(there, dict):
            raise ValueError("it holds no table")
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read: {error}; force begins anew") from None
    differences = list(_differences(there, json.loads(json.dumps(settings))))
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise TrainingError(
            f"{out} holds an unfinished training with other settings: {'; '.join(differences[:3])}{more}; "
            "the same settings go on with it, force begins anew"
        )


def _differences(there: Any, asked: Any, path: str = "") -> Iterator[str]:
    """Yield where two tables differ, as sentences."""
    if isinstance(there, dict) and isinstance(asked, dict):
        for key in dict.fromkeys([*there, *asked]):
            yield from _differences(there.get(key), asked.get(key), f"{path}.{key}" if path else key)
    elif there != asked:
        yield f"{path} is {json.dumps(there)} there and {json.dumps(asked)} here"


def write_checkpoint(out: Path, steps: int, files: Mapping[str, bytes]) -> None:
    """Write a checkpoint whole or not at all, with sums of its files; those before it are deleted after that."""
    folder = out / CHECKPOINTS
    folder.mkdir(exist_ok=True)
    for left in folder.glob(f"{UNFINISHED}*"):  # first: the disk may be full of them
        shutil.rmtree(left)
    working = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    for name, content in files.items():
        (working / name).write_bytes(content)
    write_json(working / SUMS, {name: _sum(content) for name, content in files.items()})
    whole = folder / f"{steps:0{DIGITS}d}"
    os.replace(working, whole)
    for entry in folder.iterdir():
        if entry != whole and entry.is_dir():
            shutil.rmtree(entry)


def read_checkpoint(checkpoint: Path) -> dict[str, bytes]:
    """Return the files of a checkpoint. Raises TrainingError, which names it, if they are not those written."""
    try:
        sums = json.loads((checkpoint / SUMS).read_bytes())
        files = {name: (checkpoint / name).read_bytes() for name in [entry.name for entry in checkpoint.iterdir()]}
        files.pop(SUMS)
        if sums != {name: _sum(content) for name, content in files.items()}:
            raise ValueError(f"its files are not those that {SUMS} lists")
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(
            f"{checkpoint} is not the checkpoint that was written: {error}; force begins anew"
        ) from None
    return files


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def latest_checkpoint(out: Path) -> Path | None:
    """Return the last checkpoint, if there is one."""
    folder = out / CHECKPOINTS
    whole = sorted(entry for entry in folder.iterdir() if entry.name.isdecimal()) if folder.is_dir() else []
    return whole[-1] if whole else None


def drop_checkpoints(out: Path) -> None:
    """Delete what a finished training needs no more."""
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def write_json(file: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_whole(file, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
