"""Checkpoints of an unfinished fit: the state after an epoch, in two files without code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alsim.models.base import ModelError
from alsim.models.dkt.settings import Epoch, Settings
from alsim.types import Floats
from alsim.utils.file_groups import read_group, replace_group
from alsim.utils.npz import Shapes, from_npz, read_at_most, sha256, to_npz
from alsim.utils.reading import read_json, reason

FORMAT, VERSION = "alsim-dkt-checkpoint", 1
DESCRIPTION, ARRAYS = "checkpoint.json", "epoch-{}.npz"


def write_checkpoint(
    folder: Path, settings: Settings, digest: str, epochs: Sequence[Epoch], arrays: Mapping[str, Floats]
) -> None:
    """Write the state after the last of `epochs` in place of that after the epoch before it.

    folder    directory of the checkpoint
    settings  hyperparameters of the fit
    digest    `digest` of the responses
    epochs    losses of all epochs so far
    arrays    state after the last epoch

    If the process is killed, one complete checkpoint remains: the new one or the previous one.
    """
    content = to_npz(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "settings": settings._asdict(),
        "responses": digest,
        "epochs": epochs,
        "arrays": sha256(content),
    }
    packed = (json.dumps(description, indent=2) + "\n").encode()
    obsolete = [ARRAYS.format(len(epochs) - 1)] if len(epochs) > 1 else []
    replace_group(folder, {DESCRIPTION: packed, ARRAYS.format(len(epochs)): content}, obsolete)


def read_checkpoint(
    folder: Path, settings: Settings, digest: str, shapes: Shapes
) -> tuple[list[Epoch], dict[str, Floats]] | None:
    """Return the epochs and the arrays of a checkpoint, or None if there is none.

    folder    directory of the checkpoint
    settings  hyperparameters of the fit
    digest    `digest` of the responses
    shapes    expected shapes of the arrays

    Raises ModelError for a checkpoint of a fit with other settings or responses, for a damaged one, and for a directory
    with files of another program that a checkpoint would replace.
    """
    try:
        return read_group(folder, DESCRIPTION, partial(_read, folder, settings, digest, shapes))
    except OSError as error:
        raise _damaged(folder / DESCRIPTION, reason(error)) from None


def _read(
    folder: Path, settings: Settings, digest: str, shapes: Shapes, path_of: Callable[[str], Path]
) -> tuple[list[Epoch], dict[str, Floats]] | None:
    """Read a checkpoint as `read_checkpoint` does; `path_of` returns the path from which a file is read."""
    file = folder / DESCRIPTION
    try:
        description = read_json(path_of(DESCRIPTION), inside=folder)
    except FileNotFoundError:
        _check_names(folder, 0)
        return None
    except NotADirectoryError:
        raise ModelError(f"checkpoint must be a directory; {folder} is a file: pass another path") from None
    except (OSError, ValueError) as error:
        raise _damaged(file, reason(error)) from None
    is_object = isinstance(description, dict)
    if not is_object or description.get("format") != FORMAT or description.get("version") != VERSION:
        raise _damaged(file, f"it is not an {FORMAT} of version {VERSION}")
    _check_same_fit(file, description, settings, digest)
    try:
        epochs = [
            Epoch(float(loss), None if validation is None else float(validation))
            for loss, validation in description["epochs"]
        ]
        name = ARRAYS.format(len(epochs))
        content = read_at_most(path_of(name), shapes, inside=folder)
        if sha256(content) != description["arrays"]:
            raise ValueError(f"the SHA-256 of {name} differs")
        arrays = from_npz(content, shapes)
    except (OSError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise _damaged(file, reason(error)) from None
    _check_names(folder, len(epochs))
    return epochs, arrays


def _check_names(folder: Path, epochs: int) -> None:
    """Raise ModelError if a file has the name of the arrays of an epoch after the first `epochs`."""
    for file in sorted(folder.glob(ARRAYS.format("*"))):
        number = re.fullmatch(ARRAYS.format("([1-9][0-9]*)"), file.name)
        if number is not None and int(number[1]) > epochs:
            raise ModelError(
                f"checkpoint: {file} is not of a checkpoint and would be replaced; move it, or pass another directory"
            )


def _check_same_fit(file: Path, description: Mapping[str, Any], settings: Settings, digest: str) -> None:
    """Raise ModelError unless a checkpoint belongs to a fit with these settings to these responses."""
    saved, current = description.get("settings"), settings._asdict()
    if saved != current:
        saved = saved if isinstance(saved, dict) else {}
        other = [f"{k}={saved.get(k)!r} there, {v!r} here" for k, v in current.items() if saved.get(k) != v]
        raise ModelError(
            f"{file} belongs to a fit with other settings: {'; '.join(other)}; pass its settings, or another checkpoint"
        )
    if description.get("responses") != digest:
        raise ModelError(f"{file} belongs to a fit to other responses; pass its responses, or another checkpoint")


def _damaged(file: Path, reason: object) -> ModelError:
    """Return the error for a checkpoint that cannot be read."""
    files = f"{DESCRIPTION} and {ARRAYS.format('*')}"
    return ModelError(f"cannot resume from {file}: {reason}; pass another directory, or remove {files} to start again")
