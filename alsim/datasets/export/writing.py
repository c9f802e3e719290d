"""Where exports are written: whole or not at all, and over nothing but an export of the same format."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alsim.datasets.export.exporter import Exporter, ExportError
from alsim.datasets.store import write_json

MARKER = "alsim-export.json"
"""Lies in every directory that is an export, and says where it came from and which files are in it."""


@contextmanager
def new_export(exporter: Exporter, out: Path, origin: dict[str, Any], *, force: bool) -> Iterator[Path]:
    """Give a file or an empty directory to write an export to, which becomes `out` when all went well.

    Raises ExportError if there is anything at `out` but, if forced, an export of the same format.
    """
    if exporter.suffix:
        with _parents(out), _new_file(exporter, out, force=force) as file:
            yield file
        return

    with _parents(out), _new_directory(out, lambda: _refuse_directory(exporter, out, force=force)) as directory:
        yield directory
        write_json(directory / MARKER, {**origin, "files": sorted(_held(directory))})


@contextmanager
def _parents(out: Path) -> Iterator[None]:
    """Make the directories above `out` that are not there; a failure takes them away again."""
    made = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # somebody else put something there
                folder.rmdir()
        raise


@contextmanager
def _new_directory(out: Path, refuse: Callable[[], None]) -> Iterator[Path]:
    """Give a directory to write in, which becomes `out` when all went well and is deleted otherwise.

    refuse  raises ExportError if `out` must not be written: before the work, and once more after it
    """
    refuse()
    working = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".unfinished", dir=out.parent))
    try:
        yield working
        umask = os.umask(0)
        os.umask(umask)
        working.chmod(0o777 & ~umask)
        refuse()
        if out.exists() and any(out.iterdir()):
            _replace(out, working)
        else:
            working.rename(out)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise


def _replace(out: Path, working: Path) -> None:
    """Put `working` where `out` is; if that fails, `out` is what it was."""
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".replaced", dir=out.parent))
    old = aside / out.name
    try:
        out.rename(old)
        working.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        aside.rmdir()
        raise
    shutil.rmtree(aside)


@contextmanager
def _new_file(exporter: Exporter, out: Path, *, force: bool) -> Iterator[Path]:
    _refuse_file(exporter, out, force=force)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}-", suffix=exporter.suffix, dir=out.parent)
    os.close(handle)
    try:
        yield Path(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        _refuse_file(exporter, out, force=force)
        os.replace(name, out)
    except BaseException:
        os.unlink(name)
        raise


def _refuse_file(exporter: Exporter, out: Path, *, force: bool) -> None:
    """Raise ExportError if `out` must not be written."""
    if out.suffix != exporter.suffix:
        raise ExportError(f"{out}: an export to {exporter.name!r} is a file that ends in {exporter.suffix}")
    if out.is_symlink():
        raise ExportError(f"{out} is a symbolic link; name the file itself")
    if not out.exists():
        return
    if not out.is_file():
        raise ExportError(f"{out} is not a file")
    if not force:
        raise ExportError(f"{out} is there already; force overwrites it")
    assert exporter.origin is not None
    _refuse_other(exporter, out, exporter.origin(out))


def _refuse_other(exporter: Exporter, out: Path, origin: Any) -> None:
    held = origin.get("format") if isinstance(origin, dict) else None
    if held != exporter.name:
        what = f"an export to {held!r}" if held else "no export of alsim"
        raise ExportError(f"{out} is {what}; force overwrites only an export to {exporter.name!r}")


def _refuse_directory(exporter: Exporter, out: Path, *, force: bool) -> None:
    """Raise ExportError if `out` must not be written."""
    if out.is_symlink():
        raise ExportError(f"{out} is a symbolic link; name the directory itself")
    if not out.exists():
        return
    if not out.is_dir():
        raise ExportError(f"{out} is not a directory")
    if out.samefile(Path()):
        raise ExportError(f"{out} is the working directory; an export wants a directory of its own")
    held = _held(out)
    if not held:
        return
    if MARKER not in held:
        raise ExportError(f"{out} holds other files ({min(held)}); an export wants a directory of its own")
    origin = _marker(out / MARKER)
    _refuse_other(exporter, out, origin)
    others = held - {MARKER, *origin["files"]}
    if others:
        raise ExportError(f"{out} holds other files ({min(others)}); an export wants a directory of its own")
    if not force:
        raise ExportError(f"{out} holds an export to {exporter.name!r} already; force overwrites it")


def _marker(file: Path) -> Any:
    try:
        marker = json.loads(file.read_text(encoding="utf-8"))
        if not all(isinstance(name, str) for name in marker["files"]):
            raise TypeError("its files are no names")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ExportError(f"{file} cannot be read: {error}") from None
    return marker


def _held(directory: Path) -> set[str]:
    """Return everything below a directory but directories, links to them included."""
    return {
        entry.relative_to(directory).as_posix()
        for entry in directory.rglob("*")
        if entry.is_symlink() or not entry.is_dir()
    }
