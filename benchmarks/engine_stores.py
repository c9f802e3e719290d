"""Latency of the engine on each store, compared with a bare read-modify-write: `python -m benchmarks.engine_stores`.

The bare call reads a record of the same size and writes it, with a log entry of the same size, by the same client
library: a dictionary, a transaction of sqlite3, and a script of redis-py. The calls alternate, in one process.

--students  number of stored students
--calls     number of calls of each kind
--processor measures processor time instead, for a busy machine: of stores without a server only
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alsim.engine import AdaptiveEngine, Catalogue
from alsim.engine.stores.base import Commit, Store
from benchmarks.measure import cores
from benchmarks.redis_server import DURABLE, PROGRAM, RedisServer
from benchmarks.report import HEADER, Row, columns, judged, missing, plain

SKILLS, SETS, ITEMS = 200, 2_000, 100_000
STORES = ("memory", "sqlite", "sqlite, synchronous full", "redis")
WARM = 200
Call = Callable[[str], object]
Clock = Callable[[], float]


class Record(NamedTuple):
    """State and log entry of a student."""

    state: bytes
    entry: bytes


def catalogue() -> Catalogue:
    """Return items in 2,000 sets of one to three skills; each skill has up to two prerequisites."""
    rng = np.random.default_rng(1)
    graph = {f"k{k}": sorted({f"k{j}" for j in rng.integers(0, k, 2)}) if k > 20 else [] for k in range(SKILLS)}
    sets = [[f"k{k}" for k in {*rng.integers(0, SKILLS, rng.integers(1, 4)).tolist()}] for _ in range(SETS)]
    items = [
        {"id": f"i{i}", "type": "question", "skills_taught": sets[i % SETS], "skills_assessed": sets[i % SETS]}
        for i in range(ITEMS)
    ]
    return Catalogue(items, graph)


def template(items: Catalogue) -> Record:
    """Return the record of a student after 30 responses, and the entry of its last recommendation."""
    engine = AdaptiveEngine(None, items)
    for k in range(30):
        engine.process_response("a", engine.recommend("a")[k % 5].item, k % 3 > 0)
    state = engine.store.load("a").state
    assert state is not None
    return Record(state, engine.store.entries("a")[-2])


def fill(store: Store, record: Record, students: int) -> None:
    """Store students with the same record."""
    for begin in range(0, students, 1000):
        changes = [Commit(f"s{k}", 0, record.state, (record.entry,)) for k in range(begin, min(begin + 1000, students))]
        assert all(store.commit_many(changes))


# ── bare read-modify-writes ──────────────────────────────────────────────────────────────────────


def bare_memory(record: Record, students: int) -> Call:
    """Return a call that replaces a record in a dictionary and appends to a list."""
    states = {f"s{k}": (0, record.state) for k in range(students)}
    logs: dict[str, list[bytes]] = {name: [] for name in states}

    def call(student: str) -> None:
        version, state = states[student]
        states[student] = version + 1, bytes(bytearray(state))
        logs[student].append(record.entry)

    return call


def bare_sqlite(path: Path, record: Record, students: int, synchronous: str) -> Call:
    """Return a call that updates one row and inserts another in a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    execute = connection.execute
    execute("PRAGMA journal_mode = WAL")
    execute(f"PRAGMA synchronous = {synchronous}")
    execute("CREATE TABLE states (name TEXT PRIMARY KEY, version INTEGER, state BLOB)")
    execute("CREATE TABLE log (id INTEGER PRIMARY KEY, name TEXT, entry BLOB)")
    execute("BEGIN")
    connection.executemany("INSERT INTO states VALUES (?, 0, ?)", ((f"s{k}", record.state) for k in range(students)))
    execute("COMMIT")

    def call(student: str) -> None:
        execute("BEGIN IMMEDIATE")
        version, state = execute("SELECT version, state FROM states WHERE name = ?", (student,)).fetchone()
        execute("UPDATE states SET version = ?, state = ? WHERE name = ?", (version + 1, state, student))
        execute("INSERT INTO log VALUES (NULL, ?, ?)", (student, record.entry))
        execute("COMMIT")

    return call


COMPARE_AND_SET = """
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1] + 1, 's', ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[3])
return 1
"""


def bare_redis(server: RedisServer, record: Record, students: int) -> Call:
    """Return a call that reads a hash, and compares and sets it in a script."""
    import redis

    client: Any = redis.Redis(port=server.port, db=1, protocol=2)
    pipeline = client.pipeline(transaction=False)
    for k in range(students):
        pipeline.hset(f"s{k}", mapping={"v": 0, "s": record.state})
        if k % 1000 == 999:
            pipeline.execute()
    pipeline.execute()
    script = client.script_load(COMPARE_AND_SET)

    def call(student: str) -> None:
        version, state = client.hmget(student, "v", "s")
        assert client.evalsha(script, 2, student, f"{student}:log", version, state, record.entry)

    return call


# ── measurement ──────────────────────────────────────────────────────────────────────────────────


def latencies(calls: dict[str, Call], count: int, students: int, now: Clock) -> dict[str, list[float]]:
    """Return the milliseconds of each call, sorted; the calls alternate, each on students drawn at random."""
    rng = np.random.default_rng(2)
    chosen = rng.integers(0, students, (count + WARM, len(calls))).tolist()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for row in chosen:
        for (name, call), k in zip(calls.items(), row, strict=True):
            student = f"s{k}"
            begin = now()
            call(student)
            found[name].append(1e3 * (now() - begin))
    return {name: sorted(times[WARM:]) for name, times in found.items()}


def quantile(values: Sequence[float], q: float) -> float:
    """Return a quantile of sorted values."""
    return values[min(len(values) - 1, int(q * len(values)))]


def engine_calls(engine: AdaptiveEngine) -> dict[str, Call]:
    """Return a recommendation, and a response with an idempotency key."""
    number = iter(range(10**9))

    def respond(student: str) -> object:
        k = next(number)
        return engine.process_response(student, f"i{k * 7919 % ITEMS}", k % 3 > 0, key=f"key {k}")

    return {"recommend": lambda student: engine.recommend(student), "process_response": respond}


def store_rows(name: str, items: Catalogue, record: Record, students: int, calls: int, now: Clock) -> Iterator[Row]:
    """Yield the rows of one store."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if name == "memory":
            address, bare = "memory", bare_memory(record, students)
        elif name == "redis":
            server = stack.enter_context(RedisServer(folder, *DURABLE))
            address, bare = server.address, bare_redis(server, record, students)
        else:
            synchronous = name.rpartition(" ")[2] if name.endswith("full") else "normal"
            address = f"sqlite:{folder / 'store.db'}?synchronous={synchronous}"
            bare = bare_sqlite(folder / "bare.db", record, students, synchronous)
        engine = AdaptiveEngine(None, items, store=address)
        stack.callback(engine.close)
        fill(engine.store, record, students)
        found = latencies({"bare": bare} | engine_calls(engine), calls, students, now)
    reference = quantile(found["bare"], 0.99)
    for kind, times in found.items():
        yield plain(f"{name}: {kind}, p50", quantile(times, 0.5), "ms")
        if kind == "bare":
            yield plain(
                f"{name}: {kind}, p99", reference, "ms", limit=f"{len(record.state):,} + {len(record.entry):,} B"
            )
        else:
            target = f"≤ {3 * reference + 1:.3g}"
            yield judged(f"{name}: {kind}, p99", quantile(times, 0.99), target, "ms", limit="3 × bare p99 + 1 ms")


def rows(
    students: int = 100_000, calls: int = 10_000, stores: Sequence[str] = STORES, now: Clock = time.perf_counter
) -> Iterator[Row]:
    """Yield the rows of all stores."""
    items = catalogue()
    record = template(items)
    for name in stores:
        if name == "redis" and PROGRAM is None:
            yield missing("redis", "redis-server is not installed")
        else:
            yield from store_rows(name, items, record, students, calls, now)


def main() -> int:
    """Print the table; the exit code is 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--processor", action="store_true")
    options = parser.parse_args()
    now = time.thread_time if options.processor else time.perf_counter
    found = list(rows(options.students, options.calls, options.stores, now))
    print(f"{options.students:,} students, {ITEMS:,} items, {options.calls:,} calls of each kind, {cores()} cores")
    print(columns(HEADER, found))
    failed = sum(row.met == "**no**" for row in found)
    print("All stores are within their limits." if not failed else f"{failed} figures exceed their limits.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
