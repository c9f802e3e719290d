"""SQLite stores that cannot be written, as backups and mounted snapshots: they are read, and nothing is changed."""

import os
import shutil
import signal
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from engine_logs import engine_with_students
from typer.testing import CliRunner

from alsim.cli.app import app
from alsim.engine.directory import load_engine, write_engine
from alsim.engine.stores.base import Commit
from alsim.engine.stores.sqlite import SQLiteStore

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="this platform has no permissions of folders"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
NOBODY = 65534
UNREACHABLE = "another user cannot reach the folder"


@pytest.fixture
def folder():
    """Return a folder that other users reach; pytest's own are those of its user only."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    for each in (path, *path.rglob("*")):
        each.chmod(0o755)
    shutil.rmtree(path)


def as_nobody(path, work):
    """Return the text of a function that is called in a child without the rights of root."""
    (receive, send), child = os.pipe(), os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            text = work() if os.access(path, os.R_OK | os.X_OK) else UNREACHABLE
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(send, text.encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    if text == UNREACHABLE:
        pytest.skip(UNREACHABLE)
    return text


def run(*arguments):
    """Return what a command of `alsim engine` prints, or its error."""
    done = CliRunner().invoke(app, ["engine", *map(str, arguments)])
    return done.stdout if done.exit_code == 0 else f"Error: {done.exception}"


def files_of(path):
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file()}


@pytest.mark.ci
@pytest.mark.parametrize(("of_folder", "of_file"), [(0o555, 0o444), (0o777, 0o444)])
def test_the_commands_that_read_work_on_a_copy_that_cannot_be_written(folder, of_folder, of_file):
    shop, source = folder / "shop", engine_with_students(2, seed=4)
    write_engine(shop, None, source.catalogue)
    with closing(load_engine(shop)) as engine:
        for name in source.students():
            for event in source.events(name):
                if event["event"] == "answered":
                    engine.process_response(name, event["item"], event["correct"], time=event["time"] + 1.7e9)
    changes = [("respond", shop, "s1", "q0", "--correct"), ("recommend", shop, "s1"), ("replay", shop)]
    assert not any("Error" in run(*command) for command in changes)  # also imports what the child may not read
    commands = [("show", shop, "s1"), ("export", shop, "s1"), ("audit", shop)]
    expected = [run(*command) for command in commands]
    assert all(text and "Error" not in text for text in expected)
    before = files_of(shop)
    for entry in shop.iterdir():
        entry.chmod(of_file)
    shop.chmod(of_folder)
    for command, text in zip(commands, expected, strict=True):
        assert as_nobody(shop, lambda command=command: run(*command)) == text
    for command in changes:
        text = as_nobody(shop, lambda command=command: run(*command))
        assert text.startswith(
            f"Error: {shop}/students.db: the store cannot be written, and nothing was changed: change"
        )
    assert files_of(shop) == before


def names_in(path):
    with closing(SQLiteStore(path)) as store:
        return " ".join(store.students())


def test_commits_that_are_still_in_the_second_file_are_read_or_the_copy_is_refused(folder):
    (folder / "copy").mkdir()
    store = SQLiteStore(folder / "s.db")
    assert store.commit(Commit("ann", 0, b"x"))
    child = os.fork()
    if child == 0:
        store.commit(Commit("bob", 0, b"x"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    copy = folder / "copy" / "s.db"
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{folder / 's.db'}{suffix}", f"{copy}{suffix}")
        Path(f"{copy}{suffix}").chmod(0o444)
    store.close()
    copy.parent.chmod(0o555)
    assert as_nobody(copy.parent, lambda: names_in(copy)) == "ann bob"
    copy.parent.chmod(0o755)
    Path(f"{copy}-shm").unlink()
    copy.parent.chmod(0o555)
    text = as_nobody(copy.parent, lambda: names_in(copy))
    assert text.startswith(
        f"StoreError: {copy}: its last commits are in a file -wal, which SQLite cannot read in a directory"
    )


def test_a_file_that_others_write_is_read_again(folder):
    SQLiteStore(folder / "s.db").close()
    (asked, ask), (done, tell) = os.pipe(), os.pipe()
    writer = os.fork()
    if writer == 0:
        os.read(asked, 1)
        with closing(SQLiteStore(folder / "s.db")) as store:
            store.commit(Commit("ann", 0, b"x"))
        os.write(tell, b"x")
        os._exit(0)
    (folder / "s.db").chmod(0o444)
    folder.chmod(0o555)
    if os.geteuid() != 0:
        os.write(ask, b"x")
        os.waitpid(writer, 0)
        pytest.skip("only root can write where this user cannot")

    def look():
        with closing(SQLiteStore(folder / "s.db")) as store:
            first = [*store.students()]
            os.write(ask, b"x")
            os.read(done, 1)
            return f"{first} {[*store.students()]}"

    assert as_nobody(folder, look) == "[] ['ann']"
    os.waitpid(writer, 0)
    for end in (asked, ask, done, tell):
        os.close(end)


def test_an_error_of_a_store_that_cannot_be_read(folder):
    SQLiteStore(folder / "s.db").close()
    (folder / "s.db").chmod(0)
    text = as_nobody(folder, lambda: names_in(folder / "s.db"))
    assert text == f"StoreError: {folder}/s.db: the store cannot be read: change its permissions"
