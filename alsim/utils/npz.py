"""Arrays in npz files that somebody else may have made: numbers only, and no more of them than expected."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.types import Floats, f32

Shapes = Mapping[str, tuple[int, ...]]
"""Of float32 arrays, by name."""

HEADERS = 1024
"""Bytes that the file may have beside the numbers of an array: `packed` needs fewer than half of them."""
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error),  # RuntimeError: of zipfile, for what is encrypted or unknown
)
"""What reading an npz file that somebody else made may raise."""


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as an npz file's content."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # its stub takes any keyword for a flag
    return stream.getvalue()


def sha256(content: bytes) -> str:
    """Return the checksum of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def most_bytes(shapes: Shapes) -> int:
    """Return how many bytes a file of such arrays has at most."""
    return HEADERS + sum(4 * math.prod(shape) + HEADERS for shape in shapes.values())


def read_at_most(file: Path, shapes: Shapes) -> bytes:
    """Return a file's content, or the beginning of one that is too large to be of such arrays. Raises OSError."""
    with file.open("rb") as stream:
        return stream.read(most_bytes(shapes) + 1)


def unpacked(content: bytes, shapes: Shapes) -> dict[str, Floats]:
    """Return the float32 arrays of an npz file's content. Raises ValueError for anything else."""
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            _refuse_more_than(most_bytes(shapes), content)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in shapes}
    except UNREADABLE as error:
        raise ValueError(str(error)) from None
    for name, shape in shapes.items():
        if found[name].shape != shape or found[name].dtype != f32:
            raise ValueError(
                f"{name} is float32 of shape {shape}; got {found[name].dtype} of shape {found[name].shape}"
            )
    return found


def _refuse_more_than(most: int, content: bytes) -> None:
    """Raise ValueError if a zip file says that it unpacks to more bytes; it unpacks to no more than it says."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        told = sum(entry.file_size for entry in archive.infolist())
    if told > most:
        raise ValueError(f"it unpacks to {told:,} bytes, more than {most:,}")
