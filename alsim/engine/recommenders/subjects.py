"""Subjects of items: the skills that a question assesses, and those that a content teaches."""

from __future__ import annotations

import numpy as np

from alsim.engine.catalogue import Catalogue, Members
from alsim.engine.selection import Classes
from alsim.jit.compile import lean_kernel
from alsim.types import Bools, Longs


class Subjects:
    """Subjects of the items of a catalogue, and the items about each skill. I items, K skills."""

    def __init__(self, catalogue: Catalogue) -> None:
        rows = [
            (catalogue.assessed if asks else catalogue.taught).of(i)
            for i, asks in enumerate(catalogue.is_question.tolist())
        ]
        self.members = Members(np.cumsum([0, *map(len, rows)]).astype(np.int64), np.concatenate(rows))
        """Subjects of each item."""
        self.classes = Classes.of_keys([row.tobytes() for row in rows])
        """Classes of items with the same subjects."""
        own = [rows[i] for i in self.classes.first.tolist()]
        self._start = np.cumsum([0, *map(len, own)]).astype(np.int64)
        self._skill = np.concatenate(own)
        self._sizes = np.diff(self.classes.start)
        owner = np.repeat(np.arange(len(rows)), np.diff(self.members.start))
        self._by_skill = {
            asks: self._listed(owner, catalogue.is_question[owner] == asks, len(catalogue.skills))
            for asks in (True, False)
        }
        self.has_items: Bools = np.bincount(self.members.skill, minlength=len(catalogue.skills)) > 0
        """True for skills with items about them, (K,)."""

    def questions(self, skill: int) -> Longs:
        """Return the numbers of the questions that assess a skill, ascending."""
        return self._by_skill[True].of(skill)

    def contents(self, skill: int) -> Longs:
        """Return the numbers of the contents that teach a skill, ascending."""
        return self._by_skill[False].of(skill)

    def count(self, ready: Bools) -> Longs:
        """Return the number of items with a ready subject, (n,)."""
        found = np.empty(len(ready), np.int64)
        count_ready(ready, self._start, self._skill, self._sizes, found)
        return found

    def about(self, ready: Bools) -> Longs:
        """Return the numbers of the items with a ready subject, ascending; ready (K,)."""
        is_about = np.zeros(len(self.classes.of), np.bool_)
        owner = np.repeat(np.arange(len(is_about)), np.diff(self.members.start))
        is_about[owner[ready[self.members.skill]]] = True
        return np.flatnonzero(is_about)

    def _listed(self, owner: Longs, chosen: Bools, num_skills: int) -> Members:
        """Return the items of each skill, for some of the pairs of item and skill."""
        skill, item = self.members.skill[chosen], owner[chosen]
        counts = np.bincount(skill, minlength=num_skills)
        return Members(np.cumsum([0, *counts]).astype(np.int64), item[np.argsort(skill, kind="stable")])


@lean_kernel
def count_ready(ready: Bools, start: Longs, skill: Longs, sizes: Longs, found: Longs) -> None:
    """Write the number of items with a ready subject of each student, (n,).

    start, skill  class c of items has the subjects skill[start[c]:start[c + 1]]
    sizes         (C,) number of items
    """
    for i in range(len(ready)):
        total = 0
        for c in range(len(sizes)):
            is_ready = False
            for x in range(start[c], start[c + 1]):
                is_ready = is_ready or ready[i, skill[x]]
            total += sizes[c] if is_ready else 0
        found[i] = total


__all__ = ["Subjects"]
