"""The recommender of the guide: items that teach most of what a student is ready for."""

from __future__ import annotations

import numpy as np

from alsim.engine.catalogue import Catalogue
from alsim.engine.recommenders.base import Recommender, Situation
from alsim.engine.selection import Choice, Classes, Fading, best_items
from alsim.engine.shares import shares_of_best
from alsim.jit.compile import lean_kernel
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
        scores, live = self._scored(situation)
        p = situation.progress
        return best_items(scores, self.classes, self._hashes, situation.salts, p.shown, p.counts, FADING, ranks, live)

    def shares(self, situation: Situation, groups: Longs, size: int, above: Ints | None = None) -> Doubles:
        """Return the probability that the next item is in each group of items, (n, G)."""
        scores, _ = self._scored(situation)
        p = situation.progress
        others = np.full((len(scores), 1), -1, np.int32) if above is None else above
        return shares_of_best(scores, self.classes, p.shown, p.counts, FADING, others, groups, size)

    def _scored(self, situation: Situation) -> tuple[Doubles, tuple[Ints, Longs]]:
        """Return the relevance of each class, (n, C), and the classes with relevance, see `best_items`."""
        n = len(situation.students)
        scores = np.empty((n, len(self.classes)))
        live = np.empty(scores.shape, np.int32), np.empty(n, np.int64)
        relevance(situation.mastery, situation.ready, self._start, self._class, scores, *live)
        return scores, live

    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of the items that teach a ready skill."""
        taught = self.catalogue.taught
        teaches = np.zeros(len(self.catalogue), np.bool_)
        owner = np.repeat(np.arange(len(teaches)), np.diff(taught.start))
        teaches[owner[ready[taught.skill]]] = True
        return np.flatnonzero(teaches)


@lean_kernel
def relevance(
    mastery: Doubles, ready: Bools, start: Longs, classes: Longs, scores: Doubles, live: Ints, num_live: Longs
) -> None:
    """Write the relevance (n, C) of each class of items, -inf instead of 0, and the classes with relevance.

    start, classes  skill k is taught by the classes classes[start[k]:start[k + 1]]
    live, num_live  written, see `alsim.engine.selection.write_live`
    """
    for i in range(len(mastery)):
        scores[i, :] = -np.inf
        known = 0
        for k in range(len(start) - 1):
            lacking = 1.0 - mastery[i, k]
            if ready[i, k] and lacking > 0.0:
                for x in range(start[k], start[k + 1]):
                    c = classes[x]
                    if scores[i, c] > -np.inf:
                        scores[i, c] += lacking
                    else:
                        scores[i, c] = lacking
                        live[i, known] = c
                        known += 1
        num_live[i] = known


__all__ = ["Guide"]
