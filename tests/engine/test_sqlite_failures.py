"""Failures of stores in SQLite files: a clear error each, and nothing half written."""

import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from alsim.engine import EngineError, StoreError
from alsim.engine.stores import open_store
from alsim.engine.stores.base import Answer, Commit, Stored
from alsim.engine.stores.sqlite import APPLICATION, SQLiteStore

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


def change(number, size=3000):
    """Return the change that creates a student with this number."""
    answer = Answer(b"r", b"%d" % number)
    return Commit(f"s{number}", 0, b"x" * size, (b"e" * size,), "key", answer, (("n", 1),))


def fill(store):
    """Create students until the store refuses one; return its error and the number of students."""
    count = 0
    with pytest.raises(StoreError) as caught:
        while count < 10_000:
            assert store.commit(change(count))
            count += 1
    return caught.value, count


def check_full(store, count):
    """Check that students up to a number are complete, and that of the next there is nothing."""
    assert store.load(f"s{count}", "key") == Stored(0, None) and store.entries(f"s{count}") == []
    assert store.counters() == {"n": count} and len(list(store.students())) == count
    assert store.load(f"s{count - 1}", "key").answer == Answer(b"r", b"%d" % (count - 1))


def test_a_full_file_refuses_changes_and_can_be_read(tmp_path):
    with SQLiteStore(tmp_path / "s.db") as store:
        store._writer.read(lambda execute: execute("PRAGMA max_page_count = 60").fetchone())
        error, count = fill(store)
        assert re.search(r"s\.db: the disk is full, and nothing was changed: free space, and try again$", str(error))
        check_full(store, count)
        with pytest.raises(StoreError, match="the disk is full"):
            store.commit_many([Commit("s0", 1, b"y"), *map(change, range(count, count + 20))])
        assert store.load("s0").version == 1
        check_full(store, count)
        assert store.delete("s0") and store.commit(Commit("s1", 1, b"small"))


LIMITED = """
import resource
from test_sqlite_failures import change, check_full, fill
from alsim.engine.stores.sqlite import SQLiteStore
store = SQLiteStore("s.db")
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
error, count = fill(store)
assert "nothing was changed" in str(error), error
check_full(store, count)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.commit(change(count))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no limit of files")
def test_a_limit_of_the_size_of_files(tmp_path):
    here = os.path.dirname(__file__)
    path = os.pathsep.join([here, *sys.path])
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_small_disk_and_one_that_cannot_be_written(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    try:
        with SQLiteStore(folder / "s.db") as store:
            error, count = fill(store)
            assert "the disk is full, and nothing was changed" in str(error)
            check_full(store, count)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with SQLiteStore(folder / "s.db") as store:
            check_full(store, count)
            with pytest.raises(StoreError, match="cannot be written, and nothing was changed: change its permissions"):
                store.commit(Commit("s0", 1, b"y"))
        with pytest.raises(StoreError, match="cannot be opened: create its directory, or choose a writable path"):
            SQLiteStore(folder / "new.db")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a directory: pass the path of a file in it"),
        (lambda path: path.write_text("student,skill\n" * 500), "is not a store of alsim: choose another path"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close(), "but no store of alsim"),
    ],
)
def test_a_path_of_something_else_is_refused_and_kept(tmp_path, make, message):
    path = tmp_path / "s.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=message):
        open_store(f"sqlite:{path}")
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.db"]


def test_a_missing_directory(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened: create its directory"):
        open_store(f"sqlite:{tmp_path}/none/s.db")


def test_an_option_that_does_not_exist():
    with pytest.raises(EngineError, match="has the option synchronous only; got 'mode=ro'"):
        open_store("sqlite:s.db?mode=ro")
    with pytest.raises(EngineError, match="synchronous must be 'normal' or 'full'; got ''"):
        open_store("sqlite:s.db?synchronous=")
    with pytest.raises(EngineError, match="without options; got 'memory:x'"):
        open_store("memory:x")


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "s.db").touch()
    with SQLiteStore(tmp_path / "s.db") as store:
        assert store.commit(change(0))


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "s.db"
    SQLiteStore(path).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(
        StoreError, match=r"s\.db is a store of version 2; expected version 1: use the version of alsim"
    ):
        SQLiteStore(path)


def test_a_damaged_file(tmp_path):
    path = tmp_path / "s.db"
    with SQLiteStore(path) as store:
        for k in range(100):
            store.commit(change(k))
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with SQLiteStore(path) as store:
        for call in (
            lambda: [store.load(f"s{k}") for k in range(100)],
            lambda: list(store.students()),
            lambda: store.entries("s5"),
            lambda: store.commit(Commit("s5", 1, b"y", (b"e",))),
        ):
            with pytest.raises(StoreError, match=r"s\.db: the store is damaged: restore a copy"):
                call()


def test_a_closed_store(tmp_path):
    store = SQLiteStore(tmp_path / "s.db")
    store.close()
    store.close()
    for call in (lambda: store.load("ann"), lambda: store.commit(change(0)), store.counters):
        with pytest.raises(StoreError, match=r"s\.db: the store is closed: open it again"):
            call()


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_that_goes_away_in_mid_run(tmp_path, replace):
    path = tmp_path / "s.db"
    with SQLiteStore(path) as store:
        store.commit(change(0))
        path.rename(tmp_path / "moved.db")
        if replace:
            path.touch()
        for call in (lambda: store.load("s0"), lambda: store.commit(change(1))):
            with pytest.raises(StoreError, match="was removed or replaced while it was open: restore it"):
                call()


def test_another_program_that_keeps_the_file_locked(tmp_path, monkeypatch):
    monkeypatch.setattr("alsim.engine.stores.sqlite_link.PATIENCE", 0.1)
    with SQLiteStore(tmp_path / "s.db") as store:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"kept the store locked for 0\.1 s, and nothing was changed: try again"):
            store.commit(change(0))
        assert store.load("s0") == Stored(0, None)  # reading still works
        other.execute("ROLLBACK")
        other.close()
        assert store.commit(change(0))


# ── processes and threads ────────────────────────────────────────────────────────────────────────


@forks
def test_a_child_writes_on_after_its_parent_has_closed_the_store(tmp_path):
    """SQLite's locks are not inherited: with the parent's connections, the commits of the child would be lost."""
    store = SQLiteStore(tmp_path / "s.db")
    assert store.commit(change(0))
    (closed, close), (ready, prepare) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        done = store.commit(change(1))
        os.write(prepare, b"x")
        os.read(closed, 1)
        done = done and store.commit(change(2))
        os.write(2, b"" if done else b"refused")
        os.kill(os.getpid(), signal.SIGKILL)
    os.read(ready, 1)
    store.close()
    os.write(close, b"x")
    os.waitpid(child, 0)
    for end in (closed, close, ready, prepare):
        os.close(end)
    with SQLiteStore(tmp_path / "s.db") as again:
        assert list(again.students()) == ["s0", "s1", "s2"]


@forks
def test_forks_while_threads_write(tmp_path):
    with SQLiteStore(tmp_path / "s.db") as store:
        stop, made = threading.Event(), [0, 0]

        def write(thread):
            while not stop.is_set():
                assert store.commit(Commit(f"t{thread}", made[thread], b"x", (b"e",)))
                made[thread] += 1

        threads = [threading.Thread(target=write, args=(k,)) for k in range(2)]
        for thread in threads:
            thread.start()
        children = []
        for k in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if store.commit(change(k)) and store.load(f"s{k}").version == 1 else 1)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 10
        stop.set()
        for thread in threads:
            thread.join()
        assert [store.load(f"t{k}").version for k in range(2)] == made
        assert len(list(store.students())) == 12


def opened(path, barrier, results):
    """Open a store at the same time as other processes."""
    barrier.wait()
    try:
        SQLiteStore(path).close()
        results.put("")
    except StoreError as error:
        results.put(str(error))


@pytest.mark.ci
@forks
def test_processes_create_a_store_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("fork")
    for trial in range(5):
        barrier, results = context.Barrier(6), context.Queue()
        arguments = (tmp_path / f"{trial}.db", barrier, results)
        processes = [context.Process(target=opened, args=arguments) for _ in range(6)]
        for process in processes:
            process.start()
        assert [results.get(timeout=60) for _ in processes] == [""] * 6
        for process in processes:
            process.join()


@forks
def test_the_log_of_a_killed_process_is_read_when_the_store_is_opened(tmp_path):
    store = SQLiteStore(tmp_path / "s.db")
    child = os.fork()
    if child == 0:
        for k in range(50):
            store.commit(change(k))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / "s.db-wal").stat().st_size > 0
    check_full(store, 50)
    store.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.db"]


def test_threads_that_end_leave_no_open_files(tmp_path):
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        pytest.skip("this platform has no list of open files")
    with SQLiteStore(tmp_path / "s.db") as store:
        store.commit(change(0))
        store.load("s0")
        before = len(os.listdir(folder))
        for _ in range(30):
            thread = threading.Thread(target=store.load, args=("s0",))
            thread.start()
            thread.join()
        assert len(os.listdir(folder)) <= before
