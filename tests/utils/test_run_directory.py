"""Output directories: location, ownership, lock, plan, deletion and checksums, for any layout."""

import errno
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import filelock
import pytest

from alsim.errors import AlsimError
from alsim.utils import files, locks
from alsim.utils.files import UNFINISHED, atomic_file, replace_directory, write_atomic
from alsim.utils.run_directory import (
    CHECKSUMS,
    Layout,
    RunDirectory,
    delete_unfinished_folders,
    file_entry,
    matches_entry,
    read_folder,
    write_folder,
)


class RunError(AlsimError):
    """The error of a layout."""


LAYOUT = Layout(
    "run", RunError, "plan.json", "result.json", "lock", ("data", "log.txt"), mark="seed", inner=r"data/[0-9]+\.txt"
)


@pytest.fixture
def directory(tmp_path):
    """An unfinished run with data."""
    directory = RunDirectory(tmp_path / "run", LAYOUT)
    directory.create("data")
    (directory.path / "plan.json").write_text(json.dumps({"seed": 0, "sizes": [1, 2]}))
    return directory


def names(folder):
    """Return the names of the entries of a folder."""
    return {entry.name for entry in folder.iterdir()}


def test_entries_of_the_layout_and_temporary_files_are_owned(directory):
    for name in ("result.json", "log.txt", "lock", f".log.txt-0123456789abcdef{UNFINISHED}"):
        (directory.path / name).touch()
    directory.check_ownership()


@pytest.mark.parametrize("name", ["notes.txt", ".hidden"])
def test_foreign_files_are_refused(directory, name):
    (directory.path / name).touch()
    with pytest.raises(RunError, match=rf"run contains other files \({name}\); choose a new or empty directory for"):
        directory.check_ownership()


def test_foreign_files_in_a_folder_are_refused(directory, tmp_path):
    folder = directory.path / "data"
    for name in ("1.txt", f".1.txt-0123456789abcdef{UNFINISHED}"):
        (folder / name).touch()
    directory.check_ownership()
    (folder / "mine").mkdir()
    (folder / "mine" / "1.txt").touch()
    with pytest.raises(RunError, match=r"run contains other files \(data/mine/1.txt\); choose a new or empty"):
        directory.check_ownership()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    directory.check_ownership()


def test_files_without_plan_and_result_are_foreign(directory):
    (directory.path / "plan.json").unlink()
    with pytest.raises(RunError, match=r"contains other files \(data\)"):
        directory.check_ownership()


@pytest.mark.parametrize("text", ["{}", "[1]", "{", "", '{"others": 1}'])
@pytest.mark.parametrize("name", ["plan.json", "result.json"])
def test_a_file_of_another_program_does_not_mark_a_directory(directory, name, text):
    (directory.path / "plan.json").unlink()
    (directory.path / name).write_text(text)
    with pytest.raises(RunError, match=r"contains other files \(data\)|plan.json is damaged, or not that of a run; "):
        directory.check_ownership()
    (directory.path / name).write_text('{"seed": 1}')
    directory.check_ownership()


def test_the_lock_excludes_others_and_is_deleted(directory):
    other = RunDirectory(directory.path, LAYOUT)
    with directory.locked():
        with pytest.raises(RunError, match="run is in use by another process; wait"), other.locked():
            pass
        assert "lock" in names(directory.path)
    assert "lock" not in names(directory.path)
    with other.locked():
        pass


def test_differences_between_plans(directory):
    assert directory.differences({"seed": 0, "sizes": (1, 2), "new": None}) == []
    other = {"seed": 1, "sizes": [1, 3], "name": "x" * 100}
    differences = directory.differences(other)
    assert differences[:2] == ["seed was 0 and is now 1", "sizes[1] was 2 and is now 3"]
    assert differences[2].startswith('name was null and is now "xxx') and differences[2].endswith("xx...")
    message = str(directory.conflict([*differences, "a was 0 and is now 1"]))
    assert message.startswith(
        f"{directory.path} holds an unfinished run with other settings: seed was 0 and is now 1; "
    )
    assert message.endswith(
        " and 1 more; the same settings resume it, and force=True (--force) deletes it and starts again"
    )


def test_differences_that_follow_from_others_are_left_out(tmp_path):
    layout = LAYOUT._replace(derived={"every": ("run.steps",), "code": ("name",)})
    directory = RunDirectory(tmp_path, layout)
    (tmp_path / "plan.json").write_text(
        json.dumps({"run": {"steps": 40}, "every": 2, "code": {"rule": "a"}, "name": "x"})
    )
    assert directory.differences({"run": {"steps": 80}, "every": 4, "code": {"rule": "b"}, "name": "y"}) == [
        *("run.steps was 40 and is now 80", 'name was "x" and is now "y"')
    ]
    assert directory.differences({"run": {"steps": 40}, "every": 4, "code": {"rule": "b"}, "name": "x"}) == [
        *("every was 2 and is now 4", 'code.rule was "a" and is now "b"')
    ]


def test_clear_deletes_the_result_first_and_the_plan_last(directory, monkeypatch):
    for name in ("result.json", "log.txt", "lock", f".log.txt-0123456789abcdef{UNFINISHED}"):
        (directory.path / name).touch()
    deleted, unlink = [], type(directory.path).unlink

    def record(self, *arguments, **options):
        deleted.append(self.name)
        unlink(self, *arguments, **options)

    monkeypatch.setattr(type(directory.path), "unlink", record)
    directory.clear()
    assert names(directory.path) == {"lock"}
    assert (deleted[0], deleted[2]) == ("result.json", "plan.json")


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    file = tmp_path / "file"
    write_atomic(file, b"old")
    with pytest.raises(TypeError):
        write_atomic(file, "text")
    assert (names(tmp_path), file.read_bytes()) == ({"file"}, b"old")


def test_a_full_disk_is_reported_with_the_file(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write to an open file raises it
    with pytest.raises(OSError, match="No space left") as caught, atomic_file(tmp_path / "file"):
        raise full
    assert (caught.value.filename, names(tmp_path)) == (str(tmp_path / "file"), set())


def test_the_lock_of_a_directory_that_is_moved_at_once(directory, monkeypatch):
    """Another process moves the directory between two steps of this one."""
    acquire = filelock.FileLock.acquire

    def acquire_and_lose(self, *arguments, **options):
        acquire(self, *arguments, **options)
        directory.path.rename(directory.path.with_name("moved"))

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire_and_lose)
    with pytest.raises(RunError, match="run is in use by another process; wait"), directory.locked():
        pass
    monkeypatch.undo()
    with RunDirectory(directory.path.with_name("moved"), LAYOUT).locked():
        pass


def test_a_directory_that_is_deleted_while_it_is_checked_has_no_foreign_files(directory, monkeypatch):
    monkeypatch.setattr(Path, "iterdir", lambda path: os.listdir(path / "missing"))
    directory.check_ownership()


def test_a_run_that_begins_or_ends_while_its_directory_is_checked_is_not_damaged(directory, monkeypatch):
    plan, listing, marked = directory.path / "plan.json", Path.iterdir, RunDirectory._is_marked
    shutil.rmtree(directory.path / "data")
    text = plan.read_text()
    plan.unlink()
    monkeypatch.setattr(Path, "iterdir", lambda path: plan.write_text(text) and listing(path))
    directory.check_ownership()
    monkeypatch.setattr(Path, "iterdir", listing)
    monkeypatch.setattr(RunDirectory, "_is_marked", lambda self, name: plan.unlink(missing_ok=True) or False)
    directory.check_ownership()
    monkeypatch.setattr(RunDirectory, "_is_marked", marked)
    assert names(directory.path) == set()


def test_a_lock_file_stands_for_a_directory_on_windows(tmp_path, monkeypatch):
    """It lies in the directory of temporary files, and is the same for all names of the directory."""
    monkeypatch.setattr(locks, "WINDOWS", True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "a").mkdir()
    other = filelock.FileLock(locks.lock_file(tmp_path / "b" / ".." / "a"))
    with locks.locked(tmp_path / "a"), pytest.raises(filelock.Timeout):
        other.acquire(timeout=0)
    with other:
        pass
    assert names(tmp_path / "a") == set()


def test_replaced_directories_of_a_killed_process_are_deleted(tmp_path):
    token = "0123456789abcdef"
    (tmp_path / f".out-{token}{files.REPLACED}").mkdir()
    (tmp_path / f".out-{token}{files.REPLACED}" / "file").touch()
    (tmp_path / f".other-{token}{files.REPLACED}").mkdir()
    with files.replacing(tmp_path / "out", RunError):
        files.finish_replacement(tmp_path / "out")
    assert names(tmp_path) == {f".other-{token}{files.REPLACED}"}


def test_a_durable_file_is_on_the_disk_before_it_replaces_another(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(os.fstat(descriptor).st_size) or fsync(descriptor))
    monkeypatch.setattr(os, "replace", lambda *paths: calls.append("replace") or replace(*paths))
    files.write_durable(tmp_path / "file", b"text")
    assert calls == [4, "replace"]


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_replacement_that_fails_restores_the_directory(tmp_path, monkeypatch, exchanging):
    if not exchanging:
        monkeypatch.setattr(files, "exchange", lambda first, second: False)
    (tmp_path / "out").mkdir()
    for entries in (set(), {"file"}):
        for name in entries:
            (tmp_path / "out" / name).touch()
        with pytest.raises(FileNotFoundError):
            replace_directory(tmp_path / "out", tmp_path / "missing")
        assert (names(tmp_path), names(tmp_path / "out")) == ({"out"}, entries)


def test_abandoned_temporary_files_are_deleted_and_others_kept(tmp_path):
    """Another process holds the lock of the file that it writes."""
    token = "0123456789abcdef"
    kept = {f".a-{token}.unfinished.txt", f".b-{token}{UNFINISHED}", f".a-xyz{UNFINISHED}", f"a-{token}{UNFINISHED}"}
    for name in (*kept, f".a-{token}{UNFINISHED}"):
        (tmp_path / name).touch()
    (tmp_path / f".a-{token[::-1]}{UNFINISHED}").mkdir()
    (tmp_path / f".a-{token[::-1]}{UNFINISHED}" / "file").touch()
    with files.temporary_file(tmp_path / "a") as (writing, _), files.temporary_directory(tmp_path / "a") as directory:
        write_atomic(tmp_path / "a", b"new")
        assert names(tmp_path) == {*kept, "a", writing.name, directory.name}
    assert names(tmp_path) == {*kept, "a", writing.name}  # the block of a temporary file renames it
    write_atomic(tmp_path / "a", b"new")
    assert names(tmp_path) == {*kept, "a"}


@pytest.mark.skipif(sys.platform == "win32", reason="temporary directories are not deleted there")
def test_a_temporary_directory_that_another_process_deletes_at_once_is_made_again(tmp_path, monkeypatch):
    """Until it is locked, another process takes it for abandoned."""
    made, mkdir = [], Path.mkdir

    def mkdir_and_lose(self):
        mkdir(self)
        made.append(self)
        if len(made) == 1:
            files.delete_abandoned(tmp_path / "a")

    monkeypatch.setattr(Path, "mkdir", mkdir_and_lose)
    with files.temporary_directory(tmp_path / "a") as directory:
        assert directory == made[1]
        assert names(tmp_path) == {directory.name}
    assert names(tmp_path) == set()


def test_entries_match_their_files(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    entry = file_entry(tmp_path, "file")
    assert entry == {"path": "file", "bytes": 3, "sha256": files.sha256(b"abc")}
    assert matches_entry(tmp_path / "file", entry)
    (tmp_path / "file").write_bytes(b"abd")
    assert not matches_entry(tmp_path / "file", entry)


def test_folders_have_checksums(tmp_path):
    content = {"a": b"1", "b": bytes(1000)}
    write_folder(tmp_path / "folder", content)
    assert read_folder(tmp_path / "folder") == content
    assert names(tmp_path / "folder") == {"a", "b", CHECKSUMS}
    (tmp_path / "folder" / "c").touch()
    with pytest.raises(ValueError, match="its files differ from the checksums in"):
        read_folder(tmp_path / "folder")
    (tmp_path / f".other-0123456789abcdef{UNFINISHED}").mkdir()
    delete_unfinished_folders(tmp_path)
    assert names(tmp_path) == {"folder"}
