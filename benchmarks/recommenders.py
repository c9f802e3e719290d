"""Latency of the recommenders of the engine, in memory.

`python -m benchmarks.recommenders` prints the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from alsim.engine import AdaptiveEngine
from benchmarks.engine import ITEMS, SETS, course, percentiles
from benchmarks.report import Row, plain

CALLS, INTERACTIONS = 1_000, 200


def of_new_students(policy: str, items: list[dict[str, Any]], graph: dict[str, list[str]]) -> tuple[float, float]:
    """Return median and 99th percentile of `recommend` for students with a response each, ms."""
    engine = AdaptiveEngine(graph, items, policy=policy)
    questions = [item["id"] for item in items if item["type"] == "question"]
    for i in range(CALLS + 1):
        engine.process_response(f"student-{i}", questions[i], bool(i % 2))
    engine.recommend(f"student-{CALLS}")
    return percentiles(lambda i: engine.recommend(f"student-{i}"), CALLS)


def of_long_logs(policy: str) -> tuple[float, float]:
    """Return median and 99th percentile of `recommend` for a student with INTERACTIONS interactions, ms."""
    skills = [f"skill-{k}" for k in range(30)]
    items = [
        {"id": f"{s}-{k}", "skills_taught": [s], "skills_assessed": [s], "difficulty": k - 1.0, "type": "question"}
        for s in skills
        for k in range(3)
    ]
    items += [{"id": f"{s}-video", "skills_taught": [s], "type": "content", "modality": "video"} for s in skills]
    engine = AdaptiveEngine(dict.fromkeys(skills, ()), items, policy=policy)
    random = np.random.default_rng(0)
    for _ in range(INTERACTIONS):
        item = items[int(random.integers(len(items)))]
        if item["type"] == "content":
            engine.process_content("student", str(item["id"]))
        else:
            engine.process_response("student", str(item["id"]), bool(random.random() < 0.5))
    engine.recommend("student", 1)
    return percentiles(lambda i: engine.recommend("student", 1), 50)


def rows() -> Iterator[Row]:
    """Yield the rows of the table about recommenders."""
    graph, items = course()
    varied = [
        item | {"difficulty": float(b)}
        for item, b in zip(items, np.random.default_rng(0).normal(size=ITEMS), strict=True)
    ]
    setting = f"{ITEMS:,} items in {SETS:,} sets of skills"
    for policy, catalogue, more in (
        ("guide", items, ""),
        ("thompson", items, ""),
        ("alosi", items, ", without difficulties"),
        ("alosi", varied, ", each with a difficulty of its own"),
        ("policy:rules", items, ""),
    ):
        median, high = of_new_students(policy, catalogue, graph)
        yield plain(f"`recommend` of {policy}, 99th percentile: {setting}{more}", high, "ms")
        yield plain("median of the same", median, "ms")
    for policy in ("policy:rules", "policy:zpdes"):
        median, high = of_long_logs(policy)
        yield plain(f"`recommend` of {policy} after {INTERACTIONS} interactions, 99th percentile", high, "ms")
        yield plain("median of the same", median, "ms")


if __name__ == "__main__":
    for row in rows():
        print(row)
