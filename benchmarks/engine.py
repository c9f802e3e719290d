"""Latency, throughput and memory of the engine in memory, and of the loop that the guide describes.

`python -m benchmarks.engine` prints the rows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from alsim.engine import AdaptiveEngine
from alsim.engine.progress import Progress
from alsim.engine.stores.base import Commit
from alsim.engine.stores.memory import MemoryStore
from alsim.models.dkt.settings import Settings
from alsim.models.student import DKTModel
from alsim.types import Doubles
from benchmarks.child import output_of, start
from benchmarks.report import Row, judged, plain

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from guide import Guide  # noqa: E402  # the guide's loop in plain Python is a helper of the tests

SKILLS, ITEMS, SETS, STUDENTS, TOUCHED = 500, 100_000, 2_000, 1_000_000, 50
CALLS = 2_000
ROUNDS, MANY = 7, 20_000
"""Calls of `recommend_many`, and students in each; the median call counts."""
NETWORK_SKILLS = 110


def course(seed: int = 0) -> tuple[dict[str, list[str]], list[dict[str, object]]]:
    """Return a graph of SKILLS skills, and ITEMS items with SETS distinct sets of one to three skills."""
    random = np.random.default_rng(seed)
    skills = [f"skill-{k}" for k in range(SKILLS)]
    graph = {
        skill: [skills[p] for p in random.choice(k, 2, replace=False)] if k >= 50 else []
        for k, skill in enumerate(skills)
    }
    sets = [[skills[k] for k in random.choice(SKILLS, random.integers(1, 4), replace=False)] for _ in range(SETS)]
    items = [
        {
            "id": f"item-{i}",
            "skills_taught": sets[i % SETS],
            "skills_assessed": sets[i % SETS],
            "type": "question" if i % 5 else "content",
        }
        for i in range(ITEMS)
    ]
    return graph, items


def filled(engine: AdaptiveEngine, students: int) -> None:
    """Store states of students with TOUCHED touched skills each, without events."""
    random, codec = np.random.default_rng(1), engine.states.codec
    chunk = 1_000
    for begin in range(0, students, chunk):
        names = [f"student-{i}" for i in range(begin, min(begin + chunk, students))]
        state = engine.model.model.start(len(names))
        places = np.argsort(random.random((len(names), SKILLS)), axis=1)[:, :TOUCHED]
        rows = np.arange(len(names))[:, None]
        known = random.random(places.shape) * 0.5
        state["known"][rows, places], state["unknown"][rows, places] = known, 1.0 - known
        records = codec.encode(names, state, Progress.start(len(names)))
        engine.store.commit_many([Commit(name, 0, record) for name, record in zip(names, records, strict=True)])


def percentiles(call: Callable[[int], object], calls: int) -> tuple[float, float]:
    """Return the median and the 99th percentile of the duration of calls, ms."""
    times = np.empty(calls)
    for i in range(calls):
        begin = time.perf_counter()
        call(i)
        times[i] = time.perf_counter() - begin
    median, high = np.percentile(times, (50, 99)) * 1e3
    return float(median), float(high)


def timed(call: Callable[[], object]) -> float:
    """Return the duration of a call, seconds."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def in_child() -> None:
    """Measure in this process, and print the results as JSON."""
    graph, items = course()
    engine = AdaptiveEngine(graph, items, store=MemoryStore())
    engine.recommend("warm")
    engine.recommend_many(["warm", "warmer"])  # compiles what only batches use
    engine.process_response("warm", "item-1", True)
    before = resident()
    filled(engine, STUDENTS)
    found = {"memory": resident() - before}
    order = np.random.default_rng(2).permutation(STUDENTS)[: 2 * CALLS].tolist()
    found["recommend"], found["recommend_99"] = percentiles(lambda i: engine.recommend(f"student-{order[i]}"), CALLS)
    found["response"], found["response_99"] = percentiles(
        lambda i: engine.process_response(f"student-{order[i]}", f"item-{5 * i + 1}", bool(i % 2)), CALLS
    )
    names = [f"student-{i}" for i in order]
    others = np.random.default_rng(3).permutation(STUDENTS)[: ROUNDS * MANY].reshape(ROUNDS, MANY).tolist()
    lists = [[f"student-{i}" for i in some] for some in others]
    rounds = [timed(partial(engine.recommend_many, some)) for some in lists]
    found["many"] = MANY / float(np.median(rounds))
    loop = Guide(graph, items)
    found["guide"], _ = percentiles(lambda i: sorted(loop.relevance(names[i]).items(), key=lambda x: -x[1])[:5], 5)
    irt = AdaptiveEngine(graph, items[:10_000], model="irt", store=MemoryStore())
    found["irt"], found["irt_99"] = percentiles(
        lambda i: irt.process_response("anna", f"item-{5 * (i % 2_000) + 1}", bool(i % 2)), CALLS
    )
    dkt = network_engine()
    found["dkt"], found["dkt_99"] = percentiles(
        lambda i: dkt.process_response(f"student-{i % 20}", f"item-{i % NETWORK_SKILLS}", bool(i % 2)), CALLS
    )
    print(json.dumps(found))


def network_engine(seed: int = 0) -> AdaptiveEngine:
    """Return an engine whose student model is a network of the default size of `alsim fit --model dkt`.

    The weights are random: the time of a response does not depend on them, and no PyTorch is needed.
    """
    random, sizes = np.random.default_rng(seed), Settings()
    hidden, embedding, skills = sizes.hidden, sizes.embedding, [f"skill-{k}" for k in range(NETWORK_SKILLS)]

    def weights(*shape: int) -> Doubles:
        return random.normal(size=shape) / np.sqrt(shape[0])

    model = DKTModel(
        skills,
        weights(2, NETWORK_SKILLS, embedding),
        weights(embedding),
        weights(embedding, 4 * hidden),
        weights(hidden, 4 * hidden),
        weights(4 * hidden),
        weights(NETWORK_SKILLS, hidden),
        weights(NETWORK_SKILLS),
    )
    items = [{"id": f"item-{k}", "skills_assessed": [skill]} for k, skill in enumerate(skills)]
    return AdaptiveEngine({skill: [] for skill in skills}, items, model=model, store=MemoryStore())


def resident() -> float:
    """Return the resident memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def rows() -> Iterator[Row]:
    """Yield the rows of the table about the engine."""
    found = output_of(start("-m", "benchmarks.engine", "--child"))
    setting = f"{ITEMS:,} items in {SETS:,} sets of skills, {STUDENTS:,} stored students"
    yield judged(f"`recommend`, 99th percentile: {setting}", found["recommend_99"], "≤ 1", "ms")
    yield plain("`recommend`, median, of the same", found["recommend"], "ms")
    yield plain("the guide's loop in Python, median, of the same items", found["guide"], "ms")
    yield judged("`recommend_many`, of the same, students per second", found["many"], "≥ 50000")
    yield judged("`process_response` of bkt, 99th percentile, of the same", found["response_99"], "≤ 1", "ms")
    yield judged("`process_response` of irt, 99th percentile, 10,000 items", found["irt_99"], "≤ 1", "ms")
    size = Settings().hidden
    label = f"`process_response` of dkt, 99th percentile, {NETWORK_SKILLS} skills, {size} hidden units"
    yield judged(label, found["dkt_99"], "≤ 20", "ms")
    yield plain("`process_response` of dkt, median, of the same", found["dkt"], "ms")
    label = f"memory of the states of {STUDENTS:,} students with {TOUCHED} touched skills, without events"
    yield judged(label, found["memory"] / 1e9, "≤ 1", "GB")


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        in_child()
    else:
        for row in rows():
            print(row)
