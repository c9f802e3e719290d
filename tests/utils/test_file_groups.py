"""Groups of files that are replaced together: readers during a replacement, and interruptions."""

import json
import os
from threading import Thread

import pytest

from alsim.utils import file_groups, files, locks
from alsim.utils.file_groups import journal_name, read_group, replace_group

OLD, NEW = {"a": b"old a", "b": b"old b"}, {"a": b"new a", "b": b"new b"}


@pytest.fixture(autouse=True)
def short_names(monkeypatch):
    """Groups of files with short names."""
    monkeypatch.setitem(file_groups.MEMBERS, "a", "[abc]")


@pytest.fixture
def folder(tmp_path):
    """A directory with the old group."""
    replace_group(tmp_path, OLD)
    return tmp_path


def read(folder):
    """Return the contents of the files of the group."""
    return read_group(folder, "a", lambda path_of: {name: path_of(name).read_bytes() for name in OLD})


def interrupted(monkeypatch, folder, error, after):
    """Replace the group by the new one, with an error after the rename to the file named `after`."""
    rename = files.move

    def move(source, target):
        rename(source, target)
        if target.name == after:
            raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        for module in (files, file_groups):
            patch.setattr(module, "move", move)
        replace_group(folder, NEW, obsolete=["c"])


@pytest.mark.parametrize("after", [journal_name("a"), "a", "b"])
def test_an_interruption_after_the_journal_keeps_the_new_files(folder, monkeypatch, after):
    """Ctrl-C raises an error between two instructions. Obsolete files are deleted by the next writer, not before."""
    (folder / "c").touch()
    interrupted(monkeypatch, folder, KeyboardInterrupt(), after)
    assert read(folder) == NEW
    replace_group(folder, OLD)
    assert read(folder) == OLD
    assert sorted(os.listdir(folder)) == ["a", "b"]


def test_files_under_their_own_names_are_of_one_version(folder, monkeypatch):
    """Other programs do not know the journal. Some files may be absent for them, but they find no mixture."""
    (folder / "c").write_bytes(b"old c")
    seen, rename, unlink = [], os.replace, os.unlink

    def look_before(call):
        def observed(*paths):
            seen.append(frozenset((folder / name).read_bytes()[:3] for name in os.listdir(folder) if name[0] != "."))
            call(*paths)

        return observed

    monkeypatch.setattr(os, "replace", look_before(rename))
    monkeypatch.setattr(os, "unlink", look_before(unlink))
    replace_group(folder, NEW, obsolete=["c"])
    assert set(seen) == {frozenset([b"old"]), frozenset([b"new"])}
    assert len(seen) >= 6  # the journal, two deletions, two renames, and the deletion of the journal


def test_a_file_that_is_written_after_an_interruption_is_the_last(folder, monkeypatch):
    """A file outside of groups replaces the first file of a group. Otherwise the journal would replace it later."""
    interrupted(monkeypatch, folder, KeyboardInterrupt(), journal_name("a"))
    files.write_atomic(folder / "b", b"written")
    assert read(folder) == NEW  # the temporary file of b is kept for the journal
    files.write_atomic(folder / "a", b"written")
    assert read(folder) == {"a": b"written", "b": b"new b"}
    assert sorted(os.listdir(folder)) == ["a", "b"]


def test_a_file_named_like_the_journal_of_a_journal_does_not_block(folder):
    """A process that holds the lock of the directory and waits for it again would wait forever."""
    (folder / journal_name(journal_name("a"))).touch()
    thread = Thread(target=replace_group, args=(folder, NEW), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and read(folder) == NEW


def test_finish_group_does_what_remains(folder, monkeypatch):
    interrupted(monkeypatch, folder, KeyboardInterrupt(), journal_name("a"))
    file_groups.finish_group(folder, "a")
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == NEW
    file_groups.finish_group(folder, "a")
    file_groups.finish_group(folder / "missing", "a")


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_file_that_is_renamed_while_it_is_read(folder, monkeypatch, name):
    """The writer renames a file after the reader has found its temporary name, and has not deleted the journal yet."""
    interrupted(monkeypatch, folder, KeyboardInterrupt(), journal_name("a"))
    reads = []

    def load(path_of):
        path = path_of(name)
        if not reads:
            os.replace(path, folder / name)
        reads.append(path)
        return path.read_bytes()

    assert read_group(folder, "a", load) == NEW[name]
    assert len(reads) == 2


def test_a_reader_of_a_group_that_changes_again_and_again(folder):
    """Finally the reader excludes writers by the lock of the directory."""
    reads = []

    def load(path_of):
        reads.append(path_of("a").read_bytes())
        if len(reads) <= file_groups.ATTEMPTS:
            replace_group(folder, {**NEW, "a": b"%d" % len(reads)})
        return reads[-1]

    assert read_group(folder, "a", load) == b"%d" % file_groups.ATTEMPTS


def test_the_errors_of_a_reader_are_raised(folder, monkeypatch):
    def load(path_of):
        raise ValueError("invalid")

    with pytest.raises(ValueError, match="invalid"):
        read_group(folder, "a", load)
    interrupted(monkeypatch, folder, KeyboardInterrupt(), "a")
    with pytest.raises(ValueError, match="invalid"):
        read_group(folder, "a", load)


@pytest.mark.parametrize("name", ["", ".", "..", "a\0", "../a", "/a", "notes.txt", "a.json", 7])
def test_a_journal_names_files_of_its_group_only(folder, name):
    (folder / journal_name("a")).write_text(json.dumps({"moves": {}, "obsolete": [name]}))
    for use in (read, lambda folder: replace_group(folder, NEW)):
        with pytest.raises(OSError, match="is not a journal of alsim: .* is not a file of this group; delete it"):
            use(folder)


def test_a_journal_that_links_out_of_the_directory_is_refused(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "journal"
    outside.write_text(json.dumps({"moves": {}, "obsolete": ["a"]}))
    (folder / journal_name("a")).symlink_to(outside)
    with pytest.raises(OSError, match="it is outside of"):
        read(folder)


@pytest.mark.parametrize(
    ("main", "members", "others"),
    [
        ("questions.csv", ["contents.csv", "contents.parquet", "questions.parquet"], ["contents.npz", "notes.csv"]),
        ("policy.json", ["policy.json", "policy.npz"], ["model.npz", "policy.json.npz"]),
        ("fit.v1", ["fit.v1", "fit.v1.npz"], ["fit.npz", "fit.v1.json"]),
        ("checkpoint.json", ["checkpoint.json", "epoch-12.npz"], ["epoch-best.npz", "epoch-.npz"]),
    ],
)
def test_the_groups_have_these_names(main, members, others):
    assert all(file_groups._is_member(main, name) for name in members)
    assert not any(file_groups._is_member(main, name) for name in others)


def test_a_lock_that_another_program_holds_ends_in_one_sentence(folder, monkeypatch):
    """As in `flock DIR alsim fit -o DIR/fit.json`."""
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(locks, "TIMEOUT", 0.02)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(TimeoutError, match="another process has held the lock of the directory for 0 s"):
            replace_group(folder, NEW)
        assert read(folder) == OLD
    finally:
        os.close(descriptor)
    replace_group(folder, NEW)
    assert read(folder) == NEW


def test_what_a_killed_writer_of_other_names_left_is_deleted(tmp_path):
    """A catalogue may be a table or JSON; the next writer need not write the same."""
    left = [f".{name}-0123456789abcdef.unfinished" for name in ("catalogue.json", "skills.toml", "engine.toml")]
    kept = [".notes.txt-0123456789abcdef.unfinished", ".catalogue.json-0123.unfinished"]
    for name in (*left, *kept):
        (tmp_path / name).write_bytes(b"x")
    replace_group(tmp_path, {"engine.toml": b"a", "skills.json": b"b", "catalogue.csv": b"c"})
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "catalogue.csv", "engine.toml", "skills.json"])
