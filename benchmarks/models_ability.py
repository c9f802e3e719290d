"""What estimating ability costs: a million people, each from 20 answers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np

from alsim.models import irt
from benchmarks.report import Row, judged, plain, quartiles

PEOPLE, ITEMS = 1_000_000, 20


def answers(people: int = PEOPLE, seed: int = 1) -> tuple[irt.ItemParameters, np.ndarray]:
    """Return two-parameter items and (S, I) answers of normal abilities to them."""
    rng = np.random.default_rng(seed)
    items = irt.ItemParameters(rng.lognormal(0, 0.3, ITEMS), rng.normal(size=ITEMS))
    chances = irt.probability(rng.normal(size=people), items)
    return items, (rng.random((people, ITEMS)) < chances).astype(np.int8)


def seconds(method: irt.Method, rounds: int, people: int = PEOPLE) -> list[float]:
    """Return the processor seconds of one estimate of all, each round."""
    items, given = answers(people)
    irt.estimate_ability(items, given[:10], method)  # compiles
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        irt.estimate_ability(items, given, method)
        found.append(time.process_time() - begin)
    return sorted(found)


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the table's rows about ability."""
    found = seconds("eap", rounds)
    limit = "33 nodes: 660 million products, and a list of the answers made of the table"
    what = f"EAP of {PEOPLE:,} people × {ITEMS} items, one core"
    yield judged(what, statistics.median(found), "≤ 0.6", "s", spread=quartiles(found), limit=limit)
    for method in ("map", "ml", "wle"):
        found = seconds(method, rounds)
        what = f"{method.upper()} of {PEOPLE:,} people × {ITEMS} items, one core"
        yield plain(what, statistics.median(found), "s", limit="exponentials: some 7 passes over a person's items")
