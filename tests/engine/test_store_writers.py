"""Several processes that write into one SQLite file, through engines: no response is lost, doubled or half written."""

import os
import sqlite3
import threading

import engine_writers as writers
import pytest

from alsim.engine import KeyConflict

pytestmark = [
    pytest.mark.versionless,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def address(tmp_path):
    return f"sqlite:{tmp_path / 's.db'}"


@pytest.mark.ci
def test_the_final_state_of_many_writers_is_that_of_a_sequential_replay(address):
    writers.check_many_writers(address, responses=30)


@pytest.mark.ci
@pytest.mark.parametrize("option", ["", "?synchronous=full"])
def test_more_writers(address, option):
    writers.check_many_writers(address + option, responses=150)


def test_concurrent_repeats_of_a_key_have_one_effect(address):
    writers.check_repeats(address)


def test_writers_that_are_killed_lose_nothing_that_was_acknowledged(address, tmp_path):
    writers.check_killed_writers(address, kills=5)
    assert integrity(tmp_path / "s.db") == "ok"


@pytest.mark.ci
def test_writers_that_are_killed_twenty_times(address, tmp_path):
    writers.check_killed_writers(address)
    assert integrity(tmp_path / "s.db") == "ok"


def integrity(path):
    """Return what SQLite says of a file."""
    connection = sqlite3.connect(path)
    (found,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return found


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_threads_share_an_engine(kind, address):
    engine = writers.engine_at(address if kind == "sqlite" else "memory")
    found, failed = [], []

    def work(thread):
        try:
            for k in range(40):
                writers.respond(engine, thread * 1000 + k)
                engine.recommend(f"s{k % writers.STUDENTS}", 2)
            found.append(writers.respond(engine, 10_000))  # the same key in each thread
        except Exception as error:  # shown by the main thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and found == [found[0]] * 6
    assert writers.check_states(engine, writers.STUDENTS) == {10_000} | {
        t * 1000 + k for t in range(6) for k in range(40)
    }
    with pytest.raises(KeyConflict, match="'key 10000' was used before"):
        engine.process_response("s0", "count-0", True, key="key 10000", seconds=1)
    engine.close()
