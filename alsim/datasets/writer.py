"""Output directory of a dataset while it is written. It has one writer at a time, and can be resumed."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from alsim.config import BANK_KEYS
from alsim.datasets.manifest import BANK, BANK_FILES, MANIFEST, PLAN, DatasetError, read_manifest
from alsim.datasets.schema import TABLES
from alsim.datasets.shards import SIDECARS
from alsim.datasets.store import FORMATS, dataset_file, write_json
from alsim.utils.files import (
    REPLACED,
    UNFINISHED,
    delete_abandoned,
    delete_replaced,
    finish_replacement,
    hidden_sibling,
    replace_directory,
    replacing,
)
from alsim.utils.locks import WINDOWS
from alsim.utils.reading import MAX_TABLE, read_bytes
from alsim.utils.run_directory import Layout, RunDirectory, matches_entry

LOCK = ".alsim-lock"
FOLDERS = (*TABLES, SIDECARS, BANK)
POLICY_KEYS = ("policy", "parameters", "rule", "nested")
"""Keys of a plan's code that describe the policy."""
LAYOUT = Layout(
    kind="dataset",
    error=DatasetError,
    plan=PLAN,
    result=MANIFEST,
    lock=LOCK,
    contents=FOLDERS,
    mark="alsim_version",
    inner=(
        rf"({'|'.join(TABLES)})/part-[0-9]{{5,}}\.({'|'.join(FORMATS)})|{SIDECARS}/[0-9]{{5,}}\.(json|npz)"
        rf"|{BANK}/({'|'.join(map(re.escape, BANK_FILES))})"
    ),
    derived={
        **dict.fromkeys((*(f"code.{key}" for key in POLICY_KEYS), "policy.digest", "policy.nested"), ("policy.name",)),
        "code.dynamics": ("config.dynamics",),
        "bank": tuple(f"config.{key}" for key in BANK_KEYS),
        "episodes_per_shard": ("config.max_episode_steps",),  # its default depends on the step limit
    },
)
log = logging.getLogger(__name__)

Plan = Mapping[str, Any]
"""Everything that determines the bytes of a dataset, JSON-ready."""


class DatasetWriter:
    """The directory that a dataset is written to.

    out        path of the finished dataset
    directory  directory of the files: `out`, or a hidden directory next to it if a dataset in `out` is replaced
    finished   True if the manifest has been written
    """

    def __init__(self, out: Path, directory: Path, finished: bool) -> None:
        self.out, self.directory, self.finished = out, directory, finished

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, which marks the dataset as finished. Raises DatasetError if there are other files."""
        directory = RunDirectory(self.directory, LAYOUT)
        directory.check_ownership()
        directory.delete_unfinished_files()
        write_json(self.directory / MANIFEST, manifest)
        self.finished = True

    def publish(self, unlock: Callable[[], object]) -> None:
        """Move the finished dataset to `out`, and delete the files that only the writer needs.

        unlock  releases the lock of `directory`; called before a rename that an open file would prevent

        Raises DatasetError if `out` contains other files, which may be newer than the check at the start.
        """
        shutil.rmtree(self.directory / SIDECARS, ignore_errors=True)
        if self.directory == self.out:  # the plan last: as long as it exists, the next run repeats this clean-up
            (self.out / PLAN).unlink(missing_ok=True)
            return
        with replacing(self.out, DatasetError):
            RunDirectory(self.out, LAYOUT).check_ownership()
            if WINDOWS:  # no other process can lock it within this block
                unlock()
            old = replace_directory(self.out, self.directory)
            for name in (LOCK, PLAN):
                (self.out / name).unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def open_writer(out: Path, plan: Plan, bank: Path, *, force: bool) -> Iterator[DatasetWriter]:
    """Lock a directory and prepare it for a dataset, new or resumed.

    out    directory of the dataset
    plan   everything that determines the bytes of the dataset, JSON-ready
    bank   directory of the bank's files, which are copied
    force  replace a finished dataset, or delete an unfinished one with another plan

    If the block raises an error, complete shards are kept for resuming; if there are none, everything is deleted.

    Raises DatasetError if `out` holds a finished dataset or an unfinished one with another plan, and `force` is False.
    Also raises it if another process writes to `out`, or if `out` contains other files.
    """
    RunDirectory(out, LAYOUT).check_location()
    with ExitStack() as held:
        directory = _locked_directory(out, held, force=force)
        writer = DatasetWriter(out, directory.path, _is_complete(directory, plan, force=force))
        try:
            if writer.finished:
                log.info("%s: all shards were complete", out)
            else:
                _prepare(directory, plan, bank)
            yield writer
        except BaseException as error:
            _keep_complete_shards(directory, error)
            raise
        if writer.finished:
            _publish(writer, held.close)


def _locked_directory(out: Path, held: ExitStack, *, force: bool) -> RunDirectory:
    """Return the directory to write to, which is locked until `held` is closed, and then deleted if it is empty."""
    with replacing(out, DatasetError):
        _finish_replacement(out)
        _check_contents(out, force=force)
        path = hidden_sibling(out, UNFINISHED) if force and (out / MANIFEST).exists() else out
        directory = RunDirectory(path, LAYOUT, out)
        if not path.exists():
            held.callback(_delete_empty, path)
        directory.create()
        held.enter_context(directory.locked())
    return directory


def _delete_empty(directory: Path) -> None:
    """Delete a directory if it is empty."""
    with suppress(OSError):
        directory.rmdir()


def _publish(writer: DatasetWriter, unlock: Callable[[], object]) -> None:
    """Publish a dataset. An error says that the dataset is kept."""
    try:
        writer.publish(unlock)
    except Exception as error:
        error.add_note(f"the dataset in {writer.directory} is complete: run the same command again to publish it")
        raise


def _check_contents(out: Path, *, force: bool) -> None:
    """Raise DatasetError if `out` contains anything that must not be overwritten."""
    directory = RunDirectory(out, LAYOUT)
    if directory.is_finished:
        if not force and not directory.has_plan:
            raise directory.finished_error()
        read_manifest(out)
    directory.check_ownership()


def _is_complete(directory: RunDirectory, plan: Plan, *, force: bool) -> bool:
    """Return whether the manifest is written already, so that the dataset must only be published.

    Raises DatasetError if another process has finished the dataset, or if its plan differs and `force` is False.
    """
    if not directory.has_plan:
        if directory.is_finished:  # another process has finished it meanwhile
            raise directory.finished_error()
        return False
    differences = directory.differences(plan)
    if not differences:
        return directory.is_finished
    if force:
        directory.clear()
        return False
    raise directory.finished_error() if directory.is_finished else directory.conflict(differences)


def _prepare(directory: RunDirectory, plan: Plan, bank: Path) -> None:
    """Write the plan, the folders and the bank, which must exist before the shards."""
    if not directory.has_plan:
        write_json(directory.path / PLAN, plan)
    for name in FOLDERS:
        directory.create(name)
    directory.delete_unfinished_files()
    for entry in plan["bank"]["files"]:
        target = directory.path / entry["path"]
        if not (target.exists() and matches_entry(target, entry)):
            with dataset_file(target) as stream:
                stream.write(read_bytes(bank / target.name, MAX_TABLE))


def _keep_complete_shards(directory: RunDirectory, error: BaseException) -> None:
    """Keep complete shards and add a note to the error. If there are none, delete everything."""
    count = sum(1 for _ in (directory.path / SIDECARS).glob("[0-9]*.json"))
    if not count:
        with suppress(OSError):  # the error that ended the block is the one to report
            directory.clear()
        return
    directory.delete_unfinished_files()
    sentence = f"{count} shards in {directory.path} are complete: run the same command again to resume"
    if isinstance(error, Exception):
        error.add_note(sentence)
    else:
        log.info(sentence)


def _finish_replacement(out: Path) -> None:
    """Undo or finish the replacement of a dataset that was interrupted. Raises DatasetError if it is in progress."""
    staged, aside = hidden_sibling(out, UNFINISHED), hidden_sibling(out, REPLACED)
    delete_abandoned(out)
    if not aside.exists() and not _are_exchanged(out, staged):
        return
    with ExitStack() as locks:
        for directory in filter(Path.exists, (staged, out)):
            locks.enter_context(RunDirectory(directory, LAYOUT, out).locked())
        if _are_exchanged(out, staged):
            delete_replaced(out, staged)
        if not out.exists() or (out / MANIFEST).exists():  # otherwise the old dataset is the only finished one
            finish_replacement(out)


def _are_exchanged(out: Path, staged: Path) -> bool:
    """Return whether `out` is a new dataset, and `staged` the old one: a finished dataset has no plan."""
    return (staged / MANIFEST).exists() and not (staged / PLAN).exists() and (out / PLAN).exists()
