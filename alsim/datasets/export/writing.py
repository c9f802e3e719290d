"""Atomic writing of exports. Only an export to the same format is ever replaced."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alsim.datasets.export.exporter import Exporter, ExportError
from alsim.datasets.store import write_json
from alsim.utils.files import finish_replacement, move, replace_directory, replacing, temporary_directory
from alsim.utils.reading import read_json, reason
from alsim.utils.run_directory import FORCE, check_foreign_files, check_location

MARKER = "alsim-export.json"
"""File in each exported directory. It has the provenance and the names of the other files."""


@contextmanager
def new_export(exporter: Exporter, out: Path, provenance: dict[str, Any], *, force: bool) -> Iterator[Path]:
    """Yield a temporary file or directory, which is moved to `out` if the block ends without an error.

    provenance  content of the marker of a directory
    force       replace an existing export to the same format

    Raises ExportError if `out` exists, unless it is an empty directory or may be replaced.
    """
    if exporter.suffix:
        with created_parents(out), _new_file(exporter, out, force=force) as file:
            yield file
        return

    with created_parents(out), new_directory(out, lambda: _check_directory(exporter, out, force=force)) as directory:
        yield directory
        write_json(directory / MARKER, {**provenance, "files": sorted(files_in(directory))})


@contextmanager
def created_parents(out: Path) -> Iterator[None]:
    """Create missing directories above `out`, and delete them again on an error."""
    created = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in created:
            with suppress(OSError):  # another process has written to it
                folder.rmdir()
        raise


@contextmanager
def new_directory(out: Path, check: Callable[[], None]) -> Iterator[Path]:
    """Yield a temporary directory, which is moved to `out`, or deleted on an error.

    check  raises ExportError if `out` must not be written; called before the block and again after it
    """
    with replacing(out, ExportError):
        finish_replacement(out)
        check()
    with temporary_directory(out) as folder:
        replacement = folder / out.name
        replacement.mkdir()
        yield replacement
        with replacing(out, ExportError):
            check()
            old = replace_directory(out, replacement)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _new_file(exporter: Exporter, out: Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary file, which is moved to `out`, or deleted on an error."""
    _check_file(exporter, out, force=force)
    with temporary_directory(out) as folder:
        yield folder / out.name
        with replacing(out, ExportError):
            _check_file(exporter, out, force=force)
            move(folder / out.name, out)


def _check_file(exporter: Exporter, out: Path, *, force: bool) -> None:
    """Raise ExportError if the file `out` must not be written."""
    if out.suffix != exporter.suffix:
        raise ExportError(f"out must be a file that ends in {exporter.suffix} for {exporter.name!r}; got {out}")
    if out.is_symlink():
        raise ExportError(f"{out} is a symbolic link; pass the path of the file itself")
    if not out.exists():
        return
    if not out.is_file():
        raise ExportError(f"{out} exists and is not a file; choose another path")
    if not force:
        raise ExportError(f"{out} already exists; {FORCE} overwrites it")
    assert exporter.read_provenance is not None
    _check_format(exporter, out, exporter.read_provenance(out))


def _check_format(exporter: Exporter, out: Path, provenance: Any) -> None:
    """Raise ExportError if `out` is not an export to this format."""
    name = provenance.get("format") if isinstance(provenance, dict) else None
    if name != exporter.name:
        kind = f"an export to {name!r}" if name else "not an export of alsim"
        raise ExportError(
            f"{out} is {kind}; {FORCE} overwrites only an export to {exporter.name!r}; choose another path"
        )


def _check_directory(exporter: Exporter, out: Path, *, force: bool) -> None:
    """Raise ExportError if the directory `out` must not be written."""
    check_location(out, "export", ExportError)
    files = files_in(out) if out.exists() else set()
    if not files:
        return
    if MARKER not in files:  # all files are foreign, so this raises
        check_foreign_files(out, files, "export", ExportError)
    marker = _read_marker(out / MARKER)
    _check_format(exporter, out, marker)
    check_foreign_files(out, files - {MARKER, *marker["files"]}, "export", ExportError)
    if not force:
        raise ExportError(f"{out} already holds an export to {exporter.name!r}; {FORCE} overwrites it")


def _read_marker(file: Path) -> Any:
    """Return the content of a marker. Raises ExportError if it is not valid JSON with the names of files."""
    try:
        marker = read_json(file, inside=file.parent)
        if not all(isinstance(name, str) for name in marker["files"]):
            raise TypeError("the names of its files are not strings")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ExportError(f"{file} cannot be read: {reason(error)}; choose another directory for the export") from None
    return marker


def files_in(directory: Path) -> set[str]:
    """Return the paths, relative to a directory, of all files and links below it."""
    return {
        entry.relative_to(directory).as_posix()
        for entry in directory.rglob("*")
        if entry.is_symlink() or not entry.is_dir()
    }
