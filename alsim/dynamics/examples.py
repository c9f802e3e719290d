"""Examples of learners, items and draws, on which the rules of a user's dynamics are checked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from alsim.dynamics.registry import Dynamics
from alsim.jit.interpreted import interpreted
from alsim.jit.structs import ABSENT
from alsim.types import Draws, Item, Learner, Outcome, f32, i32

NUM_EXAMPLES = 300
CHAIN = 10
"""Number of successive examples of one learner, each with the own state that the one before returned."""
STATES = ("lo_state", "learner_state")
"""Fields of Learner that are states of a dynamics' own."""

Example = tuple[Learner, Item, Draws]


class Result(NamedTuple):
    """Arguments of a rule, with the own states of an episode, and its result."""

    learner: Learner
    item: Item
    draws: Draws
    after: Learner
    outcome: Outcome


Results = list[Result]
"""Results of the rule for questions or contents for all examples, in order."""


def examples_of(dynamics: Dynamics, *, is_question: bool) -> list[Example]:
    """Return examples of learners, items and draws, with what the dynamics reads of them."""
    absent: dict[str, Any] = {} if dynamics.reads_parents else {"unready": ABSENT}
    absent |= {} if dynamics.timed else {"hours": ABSENT}
    further: dict[str, Any] = {} if dynamics.further_draws else {"further": ABSENT}
    return [
        (learner, item._replace(**absent), draws._replace(**further))
        for learner, item, draws in _all_examples(is_question=is_question)
    ]


@lru_cache
def _all_examples(*, is_question: bool) -> list[Example]:
    """Return examples of learners, items and draws, with the extremes of each range."""
    rng = np.random.default_rng(0)

    def values(low: float, high: float) -> Any:
        inner, kind = rng.uniform(low, high, NUM_EXAMPLES), rng.integers(4, size=NUM_EXAMPLES)
        return np.where(kind == 0, low, np.where(kind == 1, high, inner)).astype(f32)

    state = zip(
        values(0, 1), values(-4, 4), values(0, 1), values(0, 120), rng.integers(0, 9, NUM_EXAMPLES), strict=True
    )
    ranges: list[tuple[float, float]] = [(0.5, 2.5), (-3, 3), (0, 0.5), (5, 120), (0, 30), (0, 0), (0, 0)]
    if not is_question:
        ranges = [*ranges[-1:] * 5, (0, 1), (-1, 1)]
    items = zip(*(values(*r) for r in ranges), strict=True)
    hard = rng.random(NUM_EXAMPLES) < 0.3
    draws = list(zip(values(1e-6, 1 - 1e-6), values(-5, 5), strict=True))
    further = [values(1e-6, 1 - 1e-6) for _ in range(4)]
    hours = np.sort(values(0, 1000).reshape(-1, CHAIN)).ravel()  # later examples of one learner have later times
    context = zip(values(0, 3), hours, strict=True)
    return [
        (
            Learner(*s[:4], i32(s[4])),
            Item(is_question, bool(is_question and h), *item)._replace(unready=met[0], hours=met[1]),
            Draws(*d, tuple(column[k] for column in further)),
        )
        for k, (s, item, h, d, met) in enumerate(zip(state, items, hard, draws, context, strict=True))
    ]


def start_states(dynamics: Dynamics, parameters: Any, example: Example) -> dict[str, Any]:
    """Return the own states of a learner at the start of an episode, by field of Learner; ABSENT if not declared."""
    kinds = ((field, getattr(dynamics, field)) for field in STATES)
    states = {field: ABSENT if kind is None else kind() for field, kind in kinds}
    if dynamics.begin is not None:
        states["lo_state"] = interpreted(dynamics.begin)(parameters, example[0].mastery, example[2].answer)[1]
    return states


def arguments_of(title: str, parameters: Any, results: Results) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of a rule for the examples with these results."""
    for learner, item, draws, _, _ in results:
        yield {
            "chance": (parameters, learner, item),
            "begin": (parameters, learner.mastery, draws.answer),
            "observe": (parameters, learner.mastery, learner.lo_state, item.hours),
        }.get(title, (parameters, learner, item, draws))


__all__ = [
    "CHAIN",
    "NUM_EXAMPLES",
    "STATES",
    "Example",
    "Result",
    "Results",
    "arguments_of",
    "examples_of",
    "start_states",
]
