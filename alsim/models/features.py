"""What a student has done before: earlier responses and those of them that were correct, for each response."""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import kernel
from alsim.responses.log import Responses
from alsim.types import Codes, Ints, Longs


def earlier_of_skills(responses: Responses) -> tuple[Longs, Longs]:
    """Return wins and attempts (X,) of each response's student at each of its skills, before that response."""
    return _earlier(responses, responses.skill, responses.skill_start, responses.num_skills)


def earlier_of_items(responses: Responses) -> tuple[Longs, Longs]:
    """Return wins and attempts (R,) of each response's student at its item, before that response."""
    return _earlier(responses, responses.item, np.arange(len(responses) + 1), responses.num_items)


def earlier_in_all(responses: Responses) -> tuple[Longs, Longs]:
    """Return wins and attempts (R,) of each response's student, before that response."""
    return _earlier(responses, np.zeros(len(responses), np.int32), np.arange(len(responses) + 1), 1)


def _earlier(responses: Responses, place: Ints, place_start: Longs, num_places: int) -> tuple[Longs, Longs]:
    wins, attempts = np.empty(len(place), np.int64), np.empty(len(place), np.int64)
    tally = np.zeros((2, num_places), np.int64)
    _count(responses.start, place_start, place, responses.correct, wins, attempts, tally[0], tally[1])
    return wins, attempts


@kernel
def _count(
    start: Longs,
    place_start: Longs,
    place: Ints,
    correct: Codes,
    wins: Longs,
    attempts: Longs,
    won: Longs,
    tried: Longs,
) -> None:
    """Tally each student's responses by place; `won` and `tried` are zero before and afterwards.

    A response is read off before it is counted, at all of its places: nothing tells its own answer.
    """
    for s in range(len(start) - 1):
        for r in range(start[s], start[s + 1]):
            for x in range(place_start[r], place_start[r + 1]):
                wins[x], attempts[x] = won[place[x]], tried[place[x]]
            for x in range(place_start[r], place_start[r + 1]):
                won[place[x]] += correct[r]
                tried[place[x]] += 1
        for x in range(place_start[start[s]], place_start[start[s + 1]]):
            won[place[x]] = 0
            tried[place[x]] = 0
