"""A dataset under way: one writer at a time, resumed where it was left, finished by its manifest or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alsim.datasets.schema import TABLES
from alsim.datasets.shards import SIDECARS
from alsim.datasets.store import (
    BANK,
    MANIFEST,
    PLAN,
    UNFINISHED,
    DatasetError,
    read_manifest,
    sha256,
    whole_file,
    write_json,
)

LOCK = "lock"
FINISHED = (MANIFEST, BANK, *TABLES)
PASSING = (PLAN, SIDECARS, LOCK)
"""What a dataset has beside while it is under way."""

log = logging.getLogger(__name__)

RolloutPlan = Mapping[str, Any]


class DatasetWriter:
    """The directory in which a dataset is written, and what becomes of it.

    directory  where files go: `out` itself, or a hidden one beside the dataset that will be replaced
    finished   the dataset is whole already: only its manifest was the last that was written
    """

    def __init__(self, out: Path, directory: Path, finished: bool) -> None:
        self.out, self.directory, self.finished = out, directory, finished

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """Make a dataset of what is there. Raises DatasetError if something else is there, too."""
        _refuse_others(self.directory, (*FINISHED, *PASSING))
        _sweep(self.directory)
        write_json(self.directory / MANIFEST, manifest)
        self.finished = True

    def publish(self) -> None:
        """Put the finished dataset in its place, and leave nothing else there."""
        if self.directory != self.out:
            _replace(self.out, self.directory)
        shutil.rmtree(self.out / SIDECARS, ignore_errors=True)
        for name in (LOCK, PLAN):  # the plan last: whoever finds it does this again
            (self.out / name).unlink(missing_ok=True)


@contextmanager
def open_writer(out: Path, plan: RolloutPlan, bank: Path, *, force: bool) -> Iterator[DatasetWriter]:
    """Give the directory to write a dataset in: a new one, or one that was left unfinished under an equal plan.

    plan  what determines the bytes of the dataset, JSON-ready
    bank  directory of the bank's files, to be copied

    A block that ends early leaves the shards that are whole, to be gone on with, or else nothing. Raises
    DatasetError if `out` holds a finished dataset, unless forced; is under way with another plan, unless
    forced; is being written by another process; or holds anything else, even then.
    """
    _refuse_strange(out)
    _recover(out)
    _refuse_held(out, force=force)
    directory = beside(out, UNFINISHED) if _is_finished(out) and force else out
    is_new = not directory.exists()
    _make(directory)
    try:
        with _locked(directory, out):
            work = DatasetWriter(out, directory, _is_whole(out, directory, plan, force=force))
            try:
                if work.finished:
                    log.info("%s: all shards were whole", out)
                else:
                    _prepare(directory, plan, bank)
                yield work
                if work.finished:
                    work.publish()
            except BaseException as error:
                _leave(directory, error)
                raise
    finally:
        if is_new:
            with suppress(OSError):  # unless there is something in it
                directory.rmdir()


def beside(out: Path, ending: str) -> Path:
    """Return a hidden place beside a dataset."""
    whole = out.resolve()
    return whole.parent / f".{whole.name}{ending}"


def _refuse_strange(out: Path) -> None:
    """Raise DatasetError if `out` cannot be the directory of a dataset."""
    if out.is_symlink():
        raise DatasetError(f"{out} is a symbolic link; name the directory itself")
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is not a directory")
    if out.exists() and out.samefile(Path()):
        raise DatasetError(f"{out} is the working directory; a dataset wants a directory of its own")


def _refuse_held(out: Path, *, force: bool) -> None:
    """Raise DatasetError if `out` holds what must not be written over."""
    if not out.exists():
        return
    if _is_finished(out):
        if not force and not (out / PLAN).exists():
            raise DatasetError(f"{out} holds a finished dataset already; force overwrites it")
        read_manifest(out)
        _refuse_others(out, (*FINISHED, *PASSING))
    else:
        _refuse_others(out, (*FINISHED, *PASSING) if (out / PLAN).exists() else (LOCK,))


def _refuse_others(directory: Path, known: tuple[str, ...]) -> None:
    """Raise DatasetError if a directory holds anything but what is known."""
    others = {entry.name for entry in directory.iterdir() if not entry.name.endswith(UNFINISHED)} - {*known}
    if others:
        raise DatasetError(f"{directory} holds other files ({min(others)}); a dataset wants a directory of its own")


def _is_finished(directory: Path) -> bool:
    return (directory / MANIFEST).exists()


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{directory} cannot be made: {error.strerror or error}") from error


@contextmanager
def _locked(directory: Path, out: Path) -> Iterator[None]:
    """Keep other processes out; the lock dies with this one."""
    from filelock import FileLock, Timeout

    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DatasetError(f"{out} is being written by another process") from None
    except OSError as error:
        raise DatasetError(f"{out} cannot be locked: {error.strerror or error}") from error
    mine = (directory / LOCK).stat()
    try:
        yield
    finally:
        with suppress(OSError):  # where a finished dataset took it along, another process may have its own by now
            if os.path.samestat((directory / LOCK).stat(), mine):
                (directory / LOCK).unlink()
        lock.release()


def _is_whole(out: Path, directory: Path, plan: RolloutPlan, *, force: bool) -> bool:
    """Return whether the dataset that is under way here lacks nothing. Raises DatasetError if it is another."""
    held = DatasetError(f"{out} holds a finished dataset already; force overwrites it")
    finished = _is_finished(directory)
    if not (directory / PLAN).exists():
        if finished:  # another process was faster
            raise held
        return False
    difference = _difference(directory / PLAN, plan)
    if difference is None:
        return finished
    if force:
        _clear(directory)
        return False
    if finished:
        raise held
    raise DatasetError(f"{out} is under way with another plan: {difference}; force begins anew, without its shards")


def _prepare(directory: Path, plan: RolloutPlan, bank: Path) -> None:
    """Write all but the shards."""
    if not (directory / PLAN).exists():
        write_json(directory / PLAN, plan)
    for name in (*TABLES, SIDECARS, BANK):
        _make(directory / name)
    _sweep(directory)
    for entry in plan["bank"]["files"]:
        _copy(bank / Path(entry["path"]).name, directory / entry["path"], entry)


def _copy(source: Path, target: Path, entry: Mapping[str, Any]) -> None:
    """Copy a file, unless it is there already."""
    if target.exists() and target.stat().st_size == entry["bytes"] and sha256(target) == entry["sha256"]:
        return
    with whole_file(target) as stream:
        stream.write(source.read_bytes())


def _difference(file: Path, plan: RolloutPlan) -> str | None:
    """Return the first difference between a plan in a file and another, in words."""
    try:
        theirs = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file} cannot be read: {error}; delete its directory to begin anew") from None
    return _first_difference(theirs, json.loads(json.dumps(plan)))


def _first_difference(theirs: Any, ours: Any, where: str = "") -> str | None:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            found = _first_difference(theirs.get(key), ours.get(key), f"{where}.{key}" if where else key)
            if found is not None:
                return found
        return None
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return next((d for k, (a, b) in pairs if (d := _first_difference(a, b, f"{where}[{k}]"))), None)
    return None if theirs == ours else f"{where} is {theirs!r} there and {ours!r} here"


def _clear(directory: Path) -> None:
    """Take away all that belongs to a dataset, and what it has beside while it is under way."""
    for name in (*TABLES, SIDECARS, BANK):
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in (MANIFEST, PLAN):
        (directory / name).unlink(missing_ok=True)
    _sweep(directory)


def _sweep(directory: Path) -> None:
    """Delete what was being written when its process ended."""
    for folder in (directory, *(directory / name for name in (*TABLES, SIDECARS, BANK))):
        for file in folder.glob(f".*{UNFINISHED}"):
            with suppress(OSError):
                file.unlink()


def _leave(directory: Path, error: BaseException) -> None:
    """Leave what can be gone on with, and say so; or else nothing."""
    shards = sum(1 for _ in (directory / SIDECARS).glob("[0-9]*.json"))
    if not shards:
        _clear(directory)
        return
    _sweep(directory)
    _tell(error, f"{shards} shards in {directory} are whole: run the same command again to go on")


def _tell(error: BaseException, sentence: str) -> None:
    """Say something beside an error: with it, where it will be shown."""
    if isinstance(error, Exception):
        error.add_note(sentence)
    else:
        log.info(sentence)


def _replace(out: Path, directory: Path) -> None:
    """Put a new dataset where another is; if that fails, the other is what it was."""
    aside = beside(out, ".replaced")
    shutil.rmtree(aside, ignore_errors=True)
    out.rename(aside)
    try:
        directory.rename(out)
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _recover(out: Path) -> None:
    """Put a dataset back whose replacement was cut short between its two renames."""
    aside, directory = beside(out, ".replaced"), beside(out, UNFINISHED)
    if not _is_finished(aside):
        return
    if out.exists():
        shutil.rmtree(aside, ignore_errors=True)
    elif not directory.exists():
        aside.rename(out)
    else:
        with _locked(directory, out):
            if not out.exists():
                aside.rename(out)
