"""Tables of questions for policies: the mean chance of success and the mean information of each cell.

A cell holds the questions of one LO and one difficulty. Abilities are rounded to 1/64 logit, and the tables hold the
exact means there. Lookups are faster than formulas, and give the same bits in any batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.mdp.actions import LEVELS, question_action
from alsim.models.irt.curves import curves, informations
from alsim.types import Course, Doubles, Longs

LIMIT, PER_LOGIT = 4, 64
"""Largest absolute ability of the tables, logits, and number of abilities per logit."""

GRID = np.arange(-LIMIT * PER_LOGIT, LIMIT * PER_LOGIT + 1) / PER_LOGIT
"""Abilities of the tables, (G,), logits. All are exact binary numbers."""

ITEMS_AT_ONCE = 1024

NOMINAL = Course(
    num_los=1,
    learning_outcome=np.zeros(LEVELS, np.int64),
    difficulty=np.arange(LEVELS),
    a=np.array([0.75, 1.25, 1.75]),
    b=np.array([-1.25, 0.0, 1.25]),
    c=np.full(LEVELS, 0.175),
)
"""One question per difficulty, in the middle of the ranges of clause S2.2: for policies that know no bank."""


class CellTables(NamedTuple):
    """Means over the questions of each of K cells, at each ability of GRID."""

    chance: Doubles  # (G, K) probability of a correct answer
    information: Doubles  # (G, K) Fisher information of one answer about ability, 1/logit^2


def cell_tables(course: Course) -> CellTables:
    """Return the tables of a course: K = 3 L cells, in the order of the actions.

    Source: Birnbaum (1968) in Lord & Novick, ch. 17 and 20, for chance and information of the three-parameter model.
    """
    cells = question_action(course.learning_outcome, course.difficulty)
    counts = np.bincount(cells, minlength=LEVELS * course.num_los)
    chance, information = np.zeros((2, len(counts), len(GRID)))
    for first in range(0, len(cells), ITEMS_AT_ONCE):
        part = slice(first, first + ITEMS_AT_ONCE)
        p, q, slope, _ = curves(GRID, *(x[part, np.newaxis] for x in (course.a, course.b, course.c)), 1.0)
        np.add.at(chance, cells[part], p)
        np.add.at(information, cells[part], informations(p, q, slope))
    means = (np.ascontiguousarray((table / counts[:, np.newaxis]).T) for table in (chance, information))
    return CellTables(*means)


def place(ability: Doubles) -> Longs:
    """Return the index in GRID of the nearest ability; abilities outside are clipped. Any shape."""
    return np.rint((np.clip(ability, -LIMIT, LIMIT) + LIMIT) * PER_LOGIT).astype(np.int64)


def at_ability(table: Doubles, ability: Doubles, num_los: int) -> Doubles:
    """Return the entries of all questions at one ability per lane, (N, L, 3).

    table    (G, 3 L), or (G, 3) for equal LOs
    ability  (N,) logits
    """
    rows = table[place(ability)].reshape(len(ability), -1, LEVELS)
    return np.broadcast_to(rows, (len(ability), num_los, LEVELS))


def at_abilities(table: Doubles, ability: Doubles) -> Doubles:
    """Return the entries of all questions at one ability per lane and LO, (N, L, 3).

    table    (G, 3 L), or (G, 3) for equal LOs
    ability  (N, L) logits
    """
    by_outcome = table.reshape(len(GRID), -1, LEVELS)
    los = np.arange(ability.shape[1]) % by_outcome.shape[1]
    return np.asarray(by_outcome[place(ability), los])


__all__ = ["GRID", "NOMINAL", "CellTables", "at_abilities", "at_ability", "cell_tables", "place"]
