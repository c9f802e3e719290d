"""Latencies of the server of the engine, by store: `python -m benchmarks.engine_server`.

Clients in another process send requests one after the other on connections that they keep: a recommendation, then a
response with an idempotency key. They never pause, so that each store is measured at its highest rate.

--clients   number of clients at once
--seconds   length of a measurement
--stores    stores: memory, sqlite, redis
--items     number of items of the catalogue
--json      also writes the results to a file
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.child import output_of, start
from benchmarks.measure import machine
from benchmarks.redis_server import DURABLE, PROGRAM, RedisServer
from benchmarks.report import HEADER, Row, columns, judged, missing, plain

SKILLS, SETS, STUDENTS = 500, 2000, 1000
WORKERS = {"memory": 1, "sqlite": 2, "redis": 2}
"""Number of workers by store: a store in memory belongs to one process."""
TARGET = "≤ 100"
"""Target of the 99th percentile, ms."""
ROUTES = ("recommend", "responses")


# ── the server ───────────────────────────────────────────────────────────────────────────────────


def make_engine(address: str, items: int) -> Any:
    """Return an engine with a store, over items that assess one or two of the skills, in SETS sets of skills."""
    from alsim.engine import AdaptiveEngine

    graph = {f"skill {k}": [f"skill {k // 3}"] if k >= 20 else [] for k in range(SKILLS)}
    catalogue = []
    for i in range(items):
        row = i % SETS
        skills = sorted({f"skill {row % SKILLS}", f"skill {(row * 7 + row // SKILLS) % SKILLS}"})
        catalogue.append({"id": f"item {i}", "skills_taught": skills, "skills_assessed": skills})
    return AdaptiveEngine(graph, catalogue, store=address)


@contextmanager
def server(address: str, workers: int, items: int) -> Iterator[str]:
    """Run a server in other processes, and return its URL when it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.engine_server", "--serve", address, str(workers), str(items)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = next(line.split(": ")[0] for line in process.stderr if line.startswith("http://"))
        host, port = url.removeprefix("http://").split(":")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                socket.create_connection((host, int(port)), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        time.sleep(2 if workers > 1 else 0)  # the other worker starts
        yield url
    finally:
        process.terminate()
        process.wait(60)


# ── the clients ──────────────────────────────────────────────────────────────────────────────────


async def client(port: int, part: str, number: int, end: float, found: dict[str, list[float]]) -> None:
    """Send requests on one connection until a time, and collect their seconds by route."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < end:
        student = f"/v1/students/student-{(count * 16 + number) % STUDENTS}"
        answer = await timed(reader, writer, f"{student}/recommend", b'{"n":5}', "", found["recommend"])
        items = json.loads(answer)["recommendations"]
        item = items[count % len(items)]["item"] if items else f"item {count}"
        body = json.dumps({"item": item, "correct": (count + number) % 4 != 0, "seconds": 12.5}).encode()
        key = f"Idempotency-Key: {part}-{number}-{count}\r\n"
        await timed(reader, writer, f"{student}/responses", body, key, found["responses"])
        count += 1
    writer.close()


async def timed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes, header: str, times: list[float]
) -> bytes:
    """Send a request, append the seconds until its answer has arrived, and return the body of the answer."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{header}"
    begin = time.perf_counter()
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    lines = answer.decode("latin-1").lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    content = await reader.readexactly(length)
    times.append(time.perf_counter() - begin)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{path}: {answer[:20]!r} {content!r}")
    return content


async def load(url: str, clients: int, seconds: float) -> dict[str, Any]:
    """Return the seconds of each request by route, and the requests per second."""
    port = int(url.rpartition(":")[2])
    for part, length in (("warm-up", min(2.0, seconds)), ("measurement", seconds)):
        found: dict[str, list[float]] = {route: [] for route in ROUTES}
        begin = time.perf_counter()
        await asyncio.gather(*(client(port, part, k, begin + length, found) for k in range(clients)))
        elapsed = time.perf_counter() - begin
    return {"rate": sum(map(len, found.values())) / elapsed, "seconds": found}


# ── results ──────────────────────────────────────────────────────────────────────────────────────


def measure(store: str, clients: int, seconds: float, items: int) -> dict[str, Any]:
    """Return the results of a store."""
    with tempfile.TemporaryDirectory() as folder:
        if store == "redis":
            with RedisServer(Path(folder), *DURABLE) as redis:
                return _measured(redis.address, store, clients, seconds, items)
        address = "memory" if store == "memory" else f"sqlite:{folder}/students.sqlite"
        return _measured(address, store, clients, seconds, items)


def _measured(address: str, store: str, clients: int, seconds: float, items: int) -> dict[str, Any]:
    with server(address, WORKERS[store], items) as url:
        result: dict[str, Any] = output_of(start("-m", "benchmarks.engine_server", "--load", url, clients, seconds))
    return result


def rows(stores: list[str], clients: int, seconds: float, items: int) -> Iterator[Row]:
    """Yield the rows of the table."""
    for store in stores:
        workers = WORKERS[store]
        name = f"{store}, {workers} worker{'s' * (workers > 1)}"
        if store == "redis" and PROGRAM is None:
            yield missing(f"{name}: 99th percentile", "redis-server is not installed", f"{TARGET} ms")
            continue
        result = measure(store, clients, seconds, items)
        for route in ROUTES:
            times = sorted(result["seconds"][route])
            low, high = (times[int(share * (len(times) - 1))] * 1e3 for share in (0.5, 0.99))
            count = f"{len(times):,} requests, median {low:.1f} ms, longest {times[-1] * 1e3:.0f} ms"
            yield judged(f"{name}: POST {route}, 99th percentile", high, TARGET, "ms", limit=count)
        yield plain(f"{name}: both, rate", result["rate"], "requests/s")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--stores", default=",".join(WORKERS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        from alsim.engine.server import serve

        address, workers, items = options.serve
        serve(partial(make_engine, address, int(items)), port=0, workers=int(workers))
    elif options.load:
        url, clients, seconds = options.load
        print(json.dumps(asyncio.run(load(url, int(clients), float(seconds)))))
    else:
        stores = options.stores.split(",")
        busy = f"load of other processes {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        table = list(rows(stores, options.clients, options.seconds, options.items))
        print(f"{options.clients} clients, {options.items:,} items, on {machine()['cores']} cores, {busy}")
        print(columns(HEADER, table))
        if options.json:
            options.json.write_text(json.dumps([row._asdict() for row in table], indent=1) + "\n")


if __name__ == "__main__":
    main()
