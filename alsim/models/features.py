"""Counts of each student's earlier responses, and of the correct ones or their credit, before each response."""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import kernel
from alsim.models.outcomes import Outcomes
from alsim.responses.log import Responses
from alsim.types import Doubles, Ints, Longs

Wins = Longs | Doubles
"""Sums of outcomes."""


def earlier_of_skills(responses: Responses, outcomes: Outcomes | None = None) -> tuple[Wins, Longs]:
    """Return wins and attempts (X,) of each response's student at each skill of the response, before the response."""
    return _earlier(responses, outcomes, responses.skill, responses.skill_start, responses.num_skills)


def earlier_of_items(responses: Responses, outcomes: Outcomes | None = None) -> tuple[Wins, Longs]:
    """Return wins and attempts (R,) of each response's student at the same item, before the response."""
    return _earlier(responses, outcomes, responses.item, np.arange(len(responses) + 1), responses.num_items)


def earlier_in_all(responses: Responses, outcomes: Outcomes | None = None) -> tuple[Wins, Longs]:
    """Return wins and attempts (R,) of each response's student at all items, before the response."""
    return _earlier(responses, outcomes, np.zeros(len(responses), np.int32), np.arange(len(responses) + 1), 1)


def _earlier(
    responses: Responses, outcomes: Outcomes | None, category: Ints, category_start: Longs, num_categories: int
) -> tuple[Wins, Longs]:
    """Return wins and attempts (X,) by category; response r has category[category_start[r]:category_start[r + 1]].

    outcomes  outcome of each response, whose sum are the wins; None for its correctness
    """
    outcomes = responses.correct if outcomes is None else outcomes
    attempts, attempts_so_far = np.empty(len(category), np.int64), np.zeros(num_categories, np.int64)
    wins: Wins = np.empty(len(category), np.int64)
    wins_so_far: Wins = np.zeros(num_categories, np.int64)
    if outcomes.dtype != np.int8:
        wins, wins_so_far = wins.astype(np.float64), wins_so_far.astype(np.float64)
    _count(responses.start, category_start, category, outcomes, wins, attempts, wins_so_far, attempts_so_far)
    return wins, attempts


@kernel
def _count(
    start: Longs,
    category_start: Longs,
    category: Ints,
    outcomes: Outcomes,
    wins: Wins,
    attempts: Longs,
    wins_so_far: Wins,
    attempts_so_far: Longs,
) -> None:
    """Count each student's responses by category; the last two arrays are scratch, zero before and afterwards.

    The counts of a response are read in all of its categories before it is added to any of them, so that no count
    includes the response itself.
    """
    for s in range(len(start) - 1):
        for r in range(start[s], start[s + 1]):
            for x in range(category_start[r], category_start[r + 1]):
                wins[x], attempts[x] = wins_so_far[category[x]], attempts_so_far[category[x]]
            for x in range(category_start[r], category_start[r + 1]):
                wins_so_far[category[x]] += outcomes[r]
                attempts_so_far[category[x]] += 1
        for x in range(category_start[start[s]], category_start[start[s + 1]]):
            wins_so_far[category[x]] = 0
            attempts_so_far[category[x]] = 0
