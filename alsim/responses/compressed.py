"""Decompression of response files: gzip, and zip archives of one file, up to a limit."""

from __future__ import annotations

import gzip
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alsim.responses.report import ResponsesError
from alsim.utils.reading import FREE_BYTES, MAX_RATIO, open_file

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
"""First bytes of compressed files."""
MAX_BYTES = 1 << 32
"""Largest size of a decompressed file, also of one that `MAX_RATIO` allows."""
ROW_BYTES = 128
"""Memory that a response needs at least while its log is read, bytes: more than its text."""
BLOCK = 1 << 20
DAMAGED = (
    *(EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, RuntimeError),
)
"""Exceptions of damaged and of encrypted files."""
WORKBOOKS = {
    "[Content_Types].xml": ("an Excel workbook", "save the sheet as CSV, or read it with pandas.read_excel"),
    "mimetype": ("an OpenDocument spreadsheet", "save the sheet as CSV, or read it with pandas.read_excel"),
    "META-INF/manifest.xml": ("an OpenDocument spreadsheet", "save the sheet as CSV, or read it with pandas"),
}
"""Kinds of zip archives that are no compressed files, and their cures, by a member."""


@contextmanager
def decompressed(path: Path) -> Iterator[Path | None]:
    """Yield a temporary decompressed copy of a file; None if it is not compressed.

    Raises ResponsesError for a workbook, for an archive of several files, and for a copy that is too large: more than
    MAX_BYTES, or more than both FREE_BYTES and MAX_RATIO times the size of the file. A line counts as ROW_BYTES.
    """
    with open_file(path) as file:
        start = file.read(4)
        file.seek(0)
        if not start.startswith((GZIP, ZIP)):
            yield None
            return
        limit = max(FREE_BYTES, MAX_RATIO * os.fstat(file.fileno()).st_size)
        with TemporaryDirectory(prefix="alsim-") as directory:
            copy = Path(directory) / "log"
            try:
                if start.startswith(GZIP):
                    with gzip.GzipFile(fileobj=file) as stream:
                        _copy(path, stream, copy, limit)
                else:
                    with zipfile.ZipFile(file) as archive, archive.open(_member(path, archive)) as stream:
                        _copy(path, stream, copy, limit)
            except DAMAGED as error:
                raise ResponsesError(f"{path}: cannot be decompressed: {error}", "write it again") from None
            yield copy


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    """Return the only file of an archive. Raises ResponsesError for a workbook and for several files."""
    names = archive.namelist()
    for name, (kind, cure) in WORKBOOKS.items():
        if name in names:
            raise ResponsesError(f"{path}: is {kind}; expected a text file", cure)
    files = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(files) != 1:
        listed = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
        raise ResponsesError(
            f"{path}: is an archive of {len(files)} files ({listed}); expected one", "extract the file of the responses"
        )
    return files[0]


def _copy(path: Path, stream: Any, copy: Path, limit: int) -> None:
    """Write a decompressed stream to a file. Raises ResponsesError if it needs more than `limit` bytes."""
    size = lines = 0
    with copy.open("wb") as file:
        while block := stream.read(BLOCK):
            size, lines = size + len(block), lines + block.count(b"\n")
            is_large = size > min(limit, MAX_BYTES)
            if is_large or lines * ROW_BYTES > limit:
                found = f"{min(limit, MAX_BYTES):,} bytes" if is_large else f"{limit // ROW_BYTES:,} lines"
                raise ResponsesError(
                    f"{path}: has more than {found} when decompressed",
                    "decompress it, or split it into several files",
                )
            file.write(block)
