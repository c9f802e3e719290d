"""Untrusted npz files: arrays of numbers only, of known shapes, within a size limit."""

from __future__ import annotations

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
from alsim.utils.files import sha256 as sha256

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of float32 arrays, by name."""

HEADER_BYTES = 1024
"""Bytes allowed for the headers of each array; `to_npz` needs fewer than half of them."""
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error),  # zipfile raises RuntimeError for encrypted or unknown content
)
"""Exceptions that reading an invalid npz file may raise."""


def to_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as the content of an npz file."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stub types every keyword as a flag
    return stream.getvalue()


def most_bytes(shapes: Shapes) -> int:
    """Return the maximum size in bytes of an npz file with arrays of these shapes."""
    return HEADER_BYTES + sum(4 * math.prod(shape) + HEADER_BYTES for shape in shapes.values())


def read_at_most(file: Path, shapes: Shapes) -> bytes:
    """Return a file's content up to one byte more than arrays of these shapes can need. Raises OSError."""
    with file.open("rb") as stream:
        return stream.read(most_bytes(shapes) + 1)


def from_npz(content: bytes, shapes: Shapes) -> dict[str, Floats]:
    """Return the float32 arrays of an npz file's content. Raises ValueError for invalid content."""
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            _check_unpacked_size(most_bytes(shapes), content)
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in shapes}
    except UNREADABLE as error:
        raise ValueError(str(error)) from None
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != f32:
            raise ValueError(
                f"{name} must be float32 of shape {shape}; got {arrays[name].dtype} of shape {arrays[name].shape}"
            )
    return arrays


def _check_unpacked_size(limit: int, content: bytes) -> None:
    """Raise ValueError if a zip file declares more than `limit` unpacked bytes; zipfile unpacks at most these."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
    if declared > limit:
        raise ValueError(f"it unpacks to {declared:,} bytes; expected at most {limit:,}")
