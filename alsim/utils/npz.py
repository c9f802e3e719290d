"""Untrusted npz files: arrays of numbers only, of known shapes, within a size limit."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.types import Floats, f32
from alsim.utils.files import sha256 as sha256
from alsim.utils.reading import read_start

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of float32 arrays, by name."""

HEADER_BYTES = 1024
"""Bytes allowed for the headers of each array; `to_npz` needs fewer than half of them."""
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError),
    *(OverflowError, RuntimeError, SyntaxError, tokenize.TokenError),
    *(struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
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


def read_at_most(file: Path, shapes: Shapes, *, inside: Path | None = None) -> bytes:
    """Return a file's content up to one byte more than arrays of these shapes can need. Raises OSError.

    inside  see `alsim.utils.reading.open_file`
    """
    return read_start(file, most_bytes(shapes) + 1, inside=inside)


def from_npz(content: bytes, shapes: Shapes) -> dict[str, Floats]:
    """Return the float32 arrays of an npz file's content. Raises ValueError for invalid content.

    Nothing is unpacked from a file that declares other sizes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_unpacked_size(archive, most_bytes(shapes))
            for name, shape in shapes.items():
                found, dtype = array_header(archive, name)
                if found != shape or dtype != f32:
                    raise ValueError(f"{name} must be float32 of shape {shape}; got {dtype} of shape {found}")
            return {name: read_array(archive, name) for name in shapes}
    except UNREADABLE as error:
        raise ValueError(str(error)) from None


def check_unpacked_size(archive: zipfile.ZipFile, limit: int) -> None:
    """Raise ValueError if a zip file declares more than `limit` unpacked bytes; zipfile unpacks at most these."""
    declared = sum(entry.file_size for entry in archive.infolist())
    if declared > limit:
        raise ValueError(f"it unpacks to {declared:,} bytes; expected at most {limit:,}")


def array_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the type of an array in an npz file. Raises one of UNREADABLE for an invalid array.

    An array is invalid if it has objects, or if the bytes of its member are not as many as its shape and type need.
    """
    with archive.open(f"{name}.npy") as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"its {name} are not in version 1.0 of the npy format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        num_bytes = archive.getinfo(f"{name}.npy").file_size - member.tell()
    if dtype.hasobject:
        raise ValueError(f"its {name} are objects, not numbers")
    if num_bytes != math.prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"its {name} have {num_bytes:,} bytes, not {math.prod(shape) * dtype.itemsize:,}")
    return shape, dtype


def read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Return an array in an npz file. Raises one of UNREADABLE for an invalid array."""
    array_header(archive, name)
    with archive.open(f"{name}.npy") as member:
        return np.asarray(np.lib.format.read_array(member, allow_pickle=False))
