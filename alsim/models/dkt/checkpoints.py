"""What a fit that was cut short goes on from: all that an epoch leaves, in two files that hold no code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alsim.models.base import ModelError
from alsim.models.dkt.settings import Epoch, Settings
from alsim.types import Floats
from alsim.utils.files import write_whole
from alsim.utils.npz import Shapes, packed, read_at_most, sha256, unpacked

FORMAT, VERSION = "alsim-dkt-checkpoint", 1
DESCRIPTION, ARRAYS = "checkpoint.json", "epoch-{}.npz"


def write_checkpoint(
    folder: Path, settings: Settings, log: str, epochs: Sequence[Epoch], arrays: Mapping[str, Floats]
) -> None:
    """Write what the last of `epochs` left, and remove what the one before it did.

    The description is replaced at one stroke, and names arrays that are already there: killed at any moment, one
    whole checkpoint remains.

    log  the digest of the responses
    """
    content = packed(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    newest = folder / ARRAYS.format(len(epochs))
    write_whole(newest, content)
    text = {
        "format": FORMAT,
        "version": VERSION,
        "settings": settings._asdict(),
        "responses": log,
        "epochs": epochs,
        "arrays": sha256(content),
    }
    write_whole(folder / DESCRIPTION, (json.dumps(text, indent=2) + "\n").encode())
    for other in folder.glob(ARRAYS.format("*")):
        if other != newest:
            other.unlink(missing_ok=True)


def read_checkpoint(
    folder: Path, settings: Settings, log: str, shapes: Shapes
) -> tuple[list[Epoch], dict[str, Floats]] | None:
    """Return the epochs of a fit with these settings to these responses, and what they left; None if there is none.

    Raises ModelError for a checkpoint of another fit, and for one that is broken.
    """
    file = folder / DESCRIPTION
    try:
        text = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise ModelError(f"a checkpoint is a directory; {folder} is a file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(file, error) from None
    if not isinstance(text, dict) or text.get("format") != FORMAT or text.get("version") != VERSION:
        raise _broken(file, f"it is no {FORMAT} of version {VERSION}")
    _refuse_other(file, text, settings, log)
    try:
        epochs = [Epoch(float(loss), None if held is None else float(held)) for loss, held in text["epochs"]]
        content = read_at_most(folder / ARRAYS.format(len(epochs)), shapes)
        if sha256(content) != text["arrays"]:
            raise ValueError(f"the SHA-256 of {ARRAYS.format(len(epochs))} differs")
        return epochs, unpacked(content, shapes)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _broken(file, error) from None


def _refuse_other(file: Path, text: Mapping[str, Any], settings: Settings, log: str) -> None:
    """Raise ModelError unless a checkpoint is of a fit with these settings to these responses."""
    theirs, ours = text.get("settings"), settings._asdict()
    if theirs != ours:
        told = theirs if isinstance(theirs, dict) else {}
        other = [f"{k}={told.get(k)!r} there, {v!r} here" for k, v in ours.items() if told.get(k) != v]
        raise ModelError(f"{file} is of a fit with other settings: {'; '.join(other)}")
    if text.get("responses") != log:
        raise ModelError(f"{file} is of a fit to other responses")


def _broken(file: Path, why: object) -> ModelError:
    return ModelError(f"{file} cannot be gone on from: {why}; remove {file.parent} to begin anew")
