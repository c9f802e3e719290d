"""The recommender of the guide: items that teach most of what a student is ready for."""

from __future__ import annotations

import numpy as np

from alsim.engine.catalogue import Catalogue
from alsim.engine.recommenders.base import Recommender, Situation
from alsim.engine.selection import Choice, Classes, Fading, Scores, best_items
from alsim.engine.shares import shares_of_best
from alsim.jit.compile import kernel
from alsim.types import Bools, Doubles, Ints, Longs

FADING = Fading(factor=0.5)
"""Each time that an item is shown without a response, its relevance halves."""


class Guide(Recommender):
    """Items of largest relevance: the sum of 1 - mastery over the ready skills that the item teaches.

    Items without relevance are not recommended. Ties are broken at random.
    """

    name = "guide"

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue)
        taught = catalogue.taught
        self.classes = Classes.of_keys([taught.of(i).tobytes() for i in range(len(catalogue))])
        """Classes of items that teach the same skills."""
        self._hashes = catalogue.hashes[self.classes.item]
        rows = [taught.of(i) for i in self.classes.first.tolist()]
        teaching: list[list[int]] = [[] for _ in catalogue.skills]
        for c, row in enumerate(rows):
            for k in row.tolist():
                teaching[k].append(c)
        self._start = np.cumsum([0, *map(len, teaching)])
        self._class = np.array([c for listed in teaching for c in listed], np.int64)

    def choose(self, situation: Situation, ranks: int) -> Choice:
        """Return up to `ranks` items for each student, the best first."""
        p = situation.progress
        scores = self._scored(situation)
        return best_items(scores, self.classes, self._hashes, situation.salts, p.shown, p.counts, FADING, ranks)

    def shares(self, situation: Situation, groups: Longs, size: int, above: Ints | None = None) -> Doubles:
        """Return the probability that the next item is in each group of items, (n, G)."""
        p = situation.progress
        others = np.full((len(situation.students), 1), -1, np.int32) if above is None else above
        return shares_of_best(self._scored(situation), self.classes, p.shown, p.counts, FADING, others, groups, size)

    def _scored(self, situation: Situation) -> Scores:
        """Return the relevance of the classes that have some."""
        scores = Scores.empty(len(situation.students), len(self.classes))
        relevance(situation.mastery, situation.ready, self._start, self._class, *scores)
        return scores

    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of the items that teach a ready skill."""
        taught = self.catalogue.taught
        teaches = np.zeros(len(self.catalogue), np.bool_)
        owner = np.repeat(np.arange(len(teaches)), np.diff(taught.start))
        teaches[owner[ready[taught.skill]]] = True
        return np.flatnonzero(teaches)


@kernel
def relevance(
    mastery: Doubles, ready: Bools, start: Longs, of_skills: Longs, classes: Ints, scores: Doubles, sizes: Longs
) -> None:
    """Write the relevance of the classes of items that have some.

    start, of_skills   skill k is taught by the classes of_skills[start[k]:start[k + 1]]
    classes ... sizes  fields of `Scores`, written
    """
    place = np.full(classes.shape[1], -1, np.int32)  # of each class in the row
    for i in range(len(mastery)):
        known = 0
        for k in range(len(start) - 1):
            lacking = 1.0 - mastery[i, k]
            if ready[i, k] and lacking > 0.0:
                for x in range(start[k], start[k + 1]):
                    c = of_skills[x]
                    if place[c] < 0:
                        classes[i, known], scores[i, known] = c, lacking
                        place[c] = known
                        known += 1
                    else:
                        scores[i, place[c]] += lacking
        for x in range(known):
            place[classes[i, x]] = -1
        sizes[i] = known


__all__ = ["Guide"]
