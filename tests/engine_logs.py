"""Small engines with students, for tests of what reads their logs."""

import numpy as np

from alsim.engine import AdaptiveEngine

GRAPH = {"a": [], "b": ["a"], "c": ["a", "b"]}
ITEMS = [
    *({"id": f"q{i}", "skills_taught": [s], "skills_assessed": [s]} for i, s in enumerate("aabbcc")),
    {"id": "v", "type": "content", "skills_taught": ["a"]},
    {"id": "w", "type": "content", "skills_taught": ["b", "c"]},
]
HOUR = 3600.0


def engine_with_students(students=6, seed=0, **options):
    """Return an engine whose students have answered at random in several sessions; their names are s0, s1, …"""
    engine, rng = AdaptiveEngine(GRAPH, ITEMS, **options), np.random.default_rng(seed)
    for k in range(students):
        time = float(rng.integers(0, 10) * HOUR)
        for _ in range(k % 4 + 1):
            for _ in range(int(rng.integers(1, 12))):
                shown = engine.recommend(f"s{k}", int(rng.integers(1, 4)), time=time)
                time += float(rng.integers(1, 600))
                follows = shown and rng.random() < 0.7
                item = shown[int(rng.integers(len(shown)))].item if follows else str(rng.choice(["q0", "q3", "v", "w"]))
                options = {"time": time, "satisfaction": float(rng.integers(1, 6)) if rng.random() < 0.3 else None}
                if item in "vw":
                    engine.process_content(f"s{k}", item, **options)
                else:
                    engine.process_response(f"s{k}", item, bool(rng.random() < 0.6), seconds=2.5, **options)
            time += float(rng.integers(1, 60)) * HOUR
    return engine
