"""`alsim engine respond` on a disk that is full: one sentence, exit status 2, and nothing half written."""

import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing

import pytest

from alsim import cli
from alsim.engine.directory import load_engine

ANSWER = "engine", "respond", "shop", "ada", "addition-1", "--correct"


def what_is_stored(shop):
    """Return the events and the mastery of the student, after a check of the file."""
    with closing(sqlite3.connect(shop / "students.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(load_engine(shop)) as engine:
        found = engine.export("ada")
        engine.replay()
        assert engine.export("ada") == found
    return found


def check_refusal(status, out, err):
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "students.db: the disk " in err and "and nothing was changed: " in err and "Traceback" not in err


@pytest.fixture
def disk(tmp_path):
    """A disk of 2 MB, which is mounted for the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, free):
    """Write a file that leaves some bytes of a disk free."""
    with (folder / "filler").open("wb", buffering=0) as file:
        size = shutil.disk_usage(folder).free - free
        file.write(b"x" * size)
    assert shutil.disk_usage(folder).free == free


@pytest.mark.ci
@pytest.mark.parametrize("free", [0, 4096, 9 * 4096, 10 * 4096])
def test_a_full_disk(run, disk, monkeypatch, free):
    """SQLite needs 32 KiB for its index of recent commits, and some pages of 4 KiB for a commit."""
    monkeypatch.chdir(disk)
    assert run("engine", "example", "shop")[0] == 0 and run(*ANSWER)[0] == 0
    before = what_is_stored(disk / "shop")
    fill(disk, free)
    check_refusal(*run(*ANSWER))
    (disk / "filler").unlink()
    assert what_is_stored(disk / "shop") == before
    assert run(*ANSWER)[0] == 0
    assert len(what_is_stored(disk / "shop")["events"]) == 2


def limited(limit):
    """Answer in a child whose files may have so many bytes; return exit status, standard output and error stream."""
    import resource

    with tempfile.TemporaryFile() as file:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                sys.argv, sys.stdout, sys.stderr = ["alsim", *ANSWER], io.StringIO(), io.StringIO()
                cli.main()
            except SystemExit as ended:
                status = ended.code or 0
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                if status:
                    file.write(f"{sys.stdout.getvalue()}\0{sys.stderr.getvalue()}".encode())
                    file.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        file.seek(0)
        out, _, err = file.read().decode().partition("\0")
    return status, out, err


@pytest.mark.ci
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_limit_of_the_size_of_files(run, tmp_path, monkeypatch):
    """Answers until the limit: each is either acknowledged and stored, or refused and not stored."""
    monkeypatch.chdir(tmp_path)
    shop = tmp_path / "shop"
    assert run("engine", "example", "shop")[0] == 0 and run(*ANSWER)[0] == 0
    limit, done = (shop / "students.db").stat().st_size, 1
    while (result := limited(limit))[0] == 0:
        done += 1
        assert done < 50
    check_refusal(*result)
    before = what_is_stored(shop)
    assert len(before["events"]) == done
    assert run(*ANSWER)[0] == 0
    assert len(what_is_stored(shop)["events"]) == done + 1
