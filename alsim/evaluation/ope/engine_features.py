"""Features and clusters of students of an engine, for models of the values of a policy."""

from __future__ import annotations

import numpy as np

from alsim.engine.catalogue import Catalogue
from alsim.engine.recommenders.subjects import Subjects
from alsim.evaluation.ope.features import clusters
from alsim.jit.compile import lean_kernel
from alsim.types import Bools, Doubles, Floats, Longs, f32

BINS = (5, 3)
"""Numbers of bins of the mean mastery, and of the number of ready skills."""
NUM_ITEM = 5
"""Number of features of an item."""


def student_features(mastery: Doubles, ready: Bools, threshold: float, decided: Bools) -> Floats:
    """Return the features of m students, (m, 8): mastery, readiness, and whether items were recommended.

    mastery  (m, K)
    ready    (m, K) True for the skills that a student is ready for
    decided  (m,) True if items were recommended before the interaction
    """
    mean, count = mastery.mean(axis=1), ready.sum(axis=1)
    lacking = ((1 - mastery) * ready).sum(axis=1)
    columns = [
        *(np.ones_like(mean), mean, (mastery**2).mean(axis=1), mastery.min(axis=1)),
        *((mastery >= threshold).mean(axis=1), count / ready.shape[1], lacking / np.maximum(count, 1), decided),
    ]
    return np.stack(columns, axis=1).astype(f32)


def student_clusters(mastery: Floats, ready: Bools, kinds: Longs) -> Longs:
    """Return the cluster of m students, (m,): by mean mastery, number of ready skills, and the kind of what was last.

    kinds  (m,) integers in [0, 3)
    """
    values = np.stack([mastery.mean(axis=1), ready.sum(axis=1)], axis=1).astype(f32)
    return np.asarray(clusters(values, BINS) * 3 + kinds)


class ItemFeatures:
    """Features of an item for a student, and their mean under probabilities of items.

    They are whether it is a content; the sums of 1 - p, p (1 - p) and of 1 - p of ready skills, over the mastery p of
    its skills: those that a question assesses, and those that a content teaches; and 1 - p for contents.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        members = Subjects(catalogue).members
        self._start, self._skill = members.start, members.skill
        self._is_content = ~catalogue.is_question

    def expected(self, odds: Doubles, mastery: Doubles, ready: Bools) -> Floats:
        """Return the mean features, (m, 5); odds (m, I) are the probabilities of the items."""
        found = np.zeros((len(odds), NUM_ITEM), f32)
        sum_features(odds, self._start, self._skill, self._is_content, mastery, ready, found)
        return found

    def taken(self, items: Longs, mastery: Doubles, ready: Bools) -> Floats:
        """Return the features of one item of each student, (m, 5); items (m,), 0 for -1."""
        odds = np.zeros((len(items), len(self._is_content)))
        known = np.flatnonzero(items >= 0)
        odds[known, items[known]] = 1
        return self.expected(odds, mastery, ready)


@lean_kernel
def sum_features(
    odds: Doubles, start: Longs, skill: Longs, is_content: Bools, mastery: Doubles, ready: Bools, found: Floats
) -> None:
    """Write the mean features of items, (m, 5).

    start, skill  item j has the skills skill[start[j]:start[j + 1]]
    """
    for i in range(len(odds)):
        content, lacking, uncertain, near, both = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(odds.shape[1]):
            p = odds[i, j]
            if p > 0.0:
                if is_content[j]:
                    content += p
                for x in range(start[j], start[j + 1]):
                    known = mastery[i, skill[x]]
                    lacking += p * (1.0 - known)
                    uncertain += p * known * (1.0 - known)
                    if ready[i, skill[x]]:
                        near += p * (1.0 - known)
                    if is_content[j]:
                        both += p * (1.0 - known)
        found[i, 0], found[i, 1], found[i, 2], found[i, 3], found[i, 4] = content, lacking, uncertain, near, both


__all__ = ["BINS", "NUM_ITEM", "ItemFeatures", "student_clusters", "student_features"]
