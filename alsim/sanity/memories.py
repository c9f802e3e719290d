"""Memory of the package's dynamics in float64, written again for the checks: it shares no code with the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from alsim.dynamics.fsrs import Fsrs
from alsim.dynamics.half_life import HalfLife
from alsim.types import Bools, Doubles

State = dict[str, Doubles]
"""Fields of the state of an LO of N learners, (N,) each."""


class Practice(NamedTuple):
    """A practice of an LO by each of N learners.

    correct  whether the answer was right; False where a content was shown
    weight   effectiveness of the content / 0.15; NaN where a question was asked
    rate     factor of all growth of memory, by the prerequisites
    hours    time of the practice, since the episode began
    """

    correct: Bools
    weight: Doubles
    rate: Doubles
    hours: Doubles


class MemoryRules(NamedTuple):
    """Rules of a memory as functions of its parameters, (N,) each, and the state of an LO of N learners.

    recall  probability of recall `days` after the last practice
    last    name of the field with the time of the last practice, hours
    known   name of the field that is 0 before the first practice
    after   possible states after a practice: one, or one for each grade that the answer may have
    """

    recall: Callable[[Any, State, Doubles], Doubles]
    last: str
    known: str
    after: Callable[[Any, State, Practice], list[State]]


def recall_of(rules: MemoryRules, p: Any, state: State, hours: Doubles, mastery: Doubles) -> Doubles:
    """Return the probability of recall at `hours`; before the first practice, the starting `mastery`."""
    is_known = state[rules.known] > 0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        recall = rules.recall(p, state, np.maximum(0, hours - state[rules.last]) / 24)
    return np.where(is_known, recall, mastery)


def _half_life_recall(p: Any, state: State, days: Doubles) -> Doubles:
    return np.asarray(2.0 ** (-24 * days / state["half_life"]))


def _half_life_after(p: Any, state: State, practice: Practice) -> list[State]:
    is_content = ~np.isnan(practice.weight)
    right = state["right"] + practice.rate * np.where(is_content, practice.weight, practice.correct)
    wrong = state["wrong"] + ~(is_content | practice.correct)
    log_days = p.base + p.right_weight * np.sqrt(1 + right) + p.wrong_weight * np.sqrt(1 + wrong)
    half_life = np.clip(24 * 2.0**log_days, 0.25, 274 * 24)
    return [{"right": right, "wrong": wrong, "half_life": half_life, "practised": practice.hours}]


def _fsrs_recall(p: Any, state: State, days: Doubles) -> Doubles:
    return np.asarray((1 + (0.9 ** (-1 / p.w20) - 1) * days / state["stability"]) ** -p.w20)


def _fsrs_after(p: Any, state: State, practice: Practice) -> list[State]:
    is_content = ~np.isnan(practice.weight)
    possible = []
    for right in (2, 3, 4):
        grade = np.where(is_content, 3, np.where(practice.correct, right, 1))
        possible.append(_fsrs_graded(p, state, practice, grade))
    return possible


def _fsrs_graded(p: Any, state: State, practice: Practice, grade: Doubles) -> State:
    """Return the state after a review with this grade, (N,) of 1 to 4."""
    new = state["stability"] == 0
    s, d = np.where(new, 1, state["stability"]), np.where(new, 1, state["difficulty"])
    days = np.maximum(0, practice.hours - state["reviewed"]) / 24
    forgotten = 1 - _fsrs_recall(p, {"stability": s}, days)

    bonus = np.select([grade == 2, grade == 4], [p.w15, p.w16], 1.0)
    growth = np.exp(p.w8) * (11 - d) * s**-p.w9 * (np.exp(p.w10 * forgotten) - 1) * bonus
    lapse = p.w11 * d**-p.w12 * ((s + 1) ** p.w13 - 1) * np.exp(p.w14 * forgotten)
    lapse = np.minimum(lapse, s / np.exp(p.w17 * p.w18))
    factor = np.exp(p.w17 * (grade - 3 + p.w18)) * s**-p.w19
    factor = np.where(grade >= 2, np.maximum(factor, 1), factor)
    later = np.where(days < 1, s * factor, np.where(grade == 1, lapse, s * (1 + growth)))
    first = np.select([grade == k for k in (1, 2, 3)], [p.w0, p.w1, p.w2], p.w3)

    change = np.where(new, first, np.maximum(later, 0.001)) - state["stability"]
    change *= np.where(np.isnan(practice.weight), 1, practice.weight) * np.where(change > 0, practice.rate, 1)
    start = p.w4 - np.exp(p.w5 * (grade - 1)) + 1
    moved = d - p.w6 * (grade - 3) * (10 - d) / 9
    easiest = p.w4 - np.exp(3 * p.w5) + 1
    difficulty = np.clip(np.where(new, start, p.w7 * easiest + (1 - p.w7) * moved), 1, 10)
    return {
        "stability": np.clip(state["stability"] + change, 0.001, 36_500),
        "difficulty": difficulty,
        "reviewed": practice.hours,
    }


MEMORIES: dict[type[Any], MemoryRules] = {
    HalfLife: MemoryRules(_half_life_recall, "practised", "half_life", _half_life_after),
    Fsrs: MemoryRules(_fsrs_recall, "reviewed", "stability", _fsrs_after),
}
"""The memories by class of parameters."""

__all__ = ["MEMORIES", "MemoryRules", "Practice", "State", "recall_of"]
