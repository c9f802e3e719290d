"""Cost of ability estimation: a million people with 20 answers each."""

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
    """Return the processor seconds of each round of estimates for all people, sorted."""
    items, correct = answers(people)
    irt.estimate_ability(items, correct[:10], method)  # compiles
    measured = []
    for _ in range(rounds):
        begin = time.process_time()
        irt.estimate_ability(items, correct, method)
        measured.append(time.process_time() - begin)
    return sorted(measured)


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the rows of the table about ability."""
    measured = seconds("eap", rounds)
    limit = "33 nodes: 660 million products, and conversion of the table to a list of answers"
    quantity = f"EAP of {PEOPLE:,} people × {ITEMS} items, one core"
    yield judged(quantity, statistics.median(measured), "≤ 0.6", "s", spread=quartiles(measured), limit=limit)
    for method in ("map", "ml", "wle"):
        measured = seconds(method, rounds)
        quantity = f"{method.upper()} of {PEOPLE:,} people × {ITEMS} items, one core"
        yield plain(
            quantity, statistics.median(measured), "s", limit="exponentials: about 7 passes over the items of a person"
        )
