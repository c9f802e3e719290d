"""The best items of each student by class: items of a class have the same score before the loss for being shown.

Ties are broken by a hash of the item and a random salt of the decision, so each of the tied items is equally likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, lean_kernel, rule
from alsim.types import WORD_BITS, Bools, Doubles, Ints, Keys, Longs, short_repr, u64

MIX_1, MIX_2 = u64(0x85EBCA6B), u64(0xC2B2AE35)
ONE_BIT, LOW_BITS = u64(1), u64(63)
SHIFT_1, SHIFT_2, LOW = u64(16), u64(13), u64(0xFFFFFFFF)


class Classes(NamedTuple):
    """Partition of the items of a catalogue into C classes of equal score."""

    of: Ints
    """Class of each item, (I,)."""
    start: Longs
    """Class c has the items item[start[c]:start[c + 1]], (C + 1,)."""
    item: Ints
    """Items by class, (I,)."""

    @classmethod
    def of_keys(cls, keys: Sequence[object]) -> Classes:
        """Return the classes of items with equal keys (I,), numbered by first appearance."""
        codes: dict[object, int] = {}
        of = np.array([codes.setdefault(key, len(codes)) for key in keys], np.int32)
        counts = np.bincount(of, minlength=len(codes))
        return cls(of, np.concatenate([[0], np.cumsum(counts)]), np.argsort(of, kind="stable").astype(np.int32))

    @property
    def first(self) -> Ints:
        """First item of each class, (C,)."""
        return self.item[self.start[:-1]]

    def __len__(self) -> int:
        return len(self.start) - 1


class Scores(NamedTuple):
    """Scores of the classes whose items are candidates, for n students; entries after the last class are undefined."""

    classes: Ints
    """Classes of each student, in any order, (n, C)."""
    values: Doubles
    """Their scores, above -inf, (n, C)."""
    sizes: Longs
    """Number of classes of each student, (n,)."""

    @classmethod
    def empty(cls, n: int, num_classes: int) -> Scores:
        """Return arrays that a kernel fills."""
        return cls(np.empty((n, num_classes), np.int32), np.empty((n, num_classes)), np.empty(n, np.int64))

    @classmethod
    def of_all(cls, scores: Doubles) -> Scores:
        """Return the scores of all classes, (n, C), of which those of -inf are no candidates."""
        found = cls.empty(*scores.shape)
        compress(scores, *found)
        return found


class Fading(NamedTuple):
    """Loss of an item that was shown c times without a response: its score becomes score * factor**c - step * c."""

    factor: float = 1.0
    step: float = 0.0


@short_repr
class Choice(NamedTuple):
    """Items chosen for n students, the best first, up to r each; entries after the last item are -1 or 0."""

    items: Ints
    """Numbers of the items, (n, r)."""
    scores: Doubles
    """Scores of the items, (n, r)."""
    propensities: Doubles
    """Probability of the item at its rank, given the items above, (n, r)."""
    candidates: Longs
    """Number of items among which the first was chosen, (n,)."""

    @property
    def sizes(self) -> Longs:
        """Number of items of each student, (n,)."""
        return np.asarray(np.count_nonzero(self.items >= 0, axis=1))


@rule
def mixed(x: u64) -> u64:
    """Return a hash of a 64-bit number in [0, 2**32).

    Both halves go through the 32-bit finalizer of MurmurHash3 (Appleby 2011). Products of 32-bit numbers do not
    overflow, so the interpreter gives no warning.
    """
    return _finalized(_finalized(x >> WORD_BITS) ^ (x & LOW))


@rule
def _finalized(x: u64) -> u64:
    x = ((x ^ (x >> SHIFT_1)) * MIX_1) & LOW
    x = ((x ^ (x >> SHIFT_2)) * MIX_2) & LOW
    return x ^ (x >> SHIFT_1)


@rule
def faded(score: float, count: int, factor: float, step: float) -> float:
    """Return the score of an item that was shown `count` times without a response."""
    for _ in range(count):
        score = score * factor - step
    return score


@lean_kernel
def compress(scores: Doubles, classes: Ints, values: Doubles, sizes: Longs) -> None:
    """Write the fields of `Scores` for scores (n, C)."""
    for i in range(len(scores)):
        known = 0
        for c in range(scores.shape[1]):  # without a branch
            classes[i, known], values[i, known] = c, scores[i, c]
            known += int(scores[i, c] > -np.inf)
            if known == scores.shape[1]:
                break
        sizes[i] = known


@kernel
def choose(
    live: Ints,
    scores: Doubles,
    num_live: Longs,
    of: Ints,
    start: Longs,
    item: Ints,
    hashes: Keys,
    salts: Keys,
    shown: Ints,
    counts: Ints,
    factor: float,
    step: float,
    items: Ints,
    values: Doubles,
    ties: Longs,
    candidates: Longs,
) -> None:
    """Write the best items of each student.

    live ... num_live
                   fields of `Scores`
    of ... item    fields of `Classes`
    hashes, salts  (I,) in the order of `item`, and (n,)
    shown, counts  (n, S) items shown without a response, -1 after the last, and how often
    factor, step   see `Fading`
    items          (n, r), written: -1 after the last
    values, ties   (n, r), written: scores, and the number of items with this score that are not above
    candidates     (n,), written
    """
    ranks, num_classes = items.shape[1], len(start) - 1
    has_shown, score_of = np.zeros(num_classes, np.bool_), np.full(num_classes, -np.inf)
    best = np.empty(ranks, np.uint64)
    for i in range(len(scores)):
        bits = _mark(shown[i], of, True, has_shown)
        known = num_live[i]
        value, total = -np.inf, 0
        for x in range(known):
            c = live[i, x]
            score_of[c] = scores[i, x]
            value = max(value, scores[i, x])
            total += start[c + 1] - start[c]
        candidates[i] = total
        size, level = 0, 0
        while value > -np.inf and (size < ranks or value >= values[i, ranks - 1]):
            level = 0
            for x in range(known):
                if scores[i, x] != value:
                    continue
                c = live[i, x]
                level += start[c + 1] - start[c]
                for place in range(start[c], start[c + 1]):
                    it, score = item[place], value
                    if has_shown[c] and (bits >> (u64(it) & LOW_BITS)) & ONE_BIT:
                        score = faded(value, count_of(shown[i], counts[i], it), factor, step)
                    tie = mixed(hashes[place] ^ salts[i])
                    size = _insert(items[i], values[i], best, size, it, score, tie)
            if size == ranks and values[i, ranks - 1] >= value:
                break
            value = _next(scores[i, :known], value)
        for r in range(size):
            if r > 0 and values[i, r] == values[i, r - 1]:
                ties[i, r] = ties[i, r - 1] - 1
            elif bits == 0 and values[i, r] == value:
                ties[i, r] = level
            else:
                ties[i, r] = _tied(
                    values[i, r],
                    live[i, :known],
                    scores[i, :known],
                    score_of,
                    of,
                    start,
                    shown[i],
                    counts[i],
                    factor,
                    step,
                )
        for r in range(size, ranks):
            items[i, r], values[i, r], ties[i, r] = -1, 0.0, 0
        _mark(shown[i], of, False, has_shown)
        for x in range(known):
            score_of[live[i, x]] = -np.inf


@rule
def _insert(items: Ints, values: Doubles, best: Keys, size: int, item: int, score: float, tie: u64) -> int:
    """Insert an item into the best ones (r,), which are sorted by score and then by tie; return their number."""
    ranks = len(items)
    if size == ranks and (score < values[ranks - 1] or (score == values[ranks - 1] and tie >= best[ranks - 1])):
        return size
    r = min(size, ranks - 1)
    while r > 0 and (values[r - 1] < score or (values[r - 1] == score and best[r - 1] > tie)):
        items[r], values[r], best[r] = items[r - 1], values[r - 1], best[r - 1]
        r -= 1
    items[r], values[r], best[r] = item, score, tie
    return min(size + 1, ranks)


@rule
def _mark(shown: Ints, of: Ints, value: bool, has_shown: Bools) -> u64:
    """Set a mark of the classes of shown items, and return a word with bit k for items of number k modulo 64.

    An item whose bit is 0 was not shown, which saves most searches.
    """
    bits = u64(0)
    for k in range(len(shown)):
        if shown[k] < 0:
            break
        has_shown[of[shown[k]]] = value
        bits |= ONE_BIT << (u64(shown[k]) & LOW_BITS)
    return bits


@rule
def _next(scores: Doubles, value: float) -> float:
    """Return the largest score below a value; -inf if there is none."""
    best = -np.inf
    for x in range(len(scores)):
        if scores[x] > best and scores[x] < value:
            best = float(scores[x])
    return best


@rule
def count_of(shown: Ints, counts: Ints, item: int) -> int:
    """Return how often an item was shown without a response."""
    for k in range(len(shown)):
        if shown[k] < 0:
            break
        if shown[k] == item:
            return int(counts[k])
    return 0


@rule
def _tied(
    value: float,
    live: Ints,
    scores: Doubles,
    score_of: Doubles,
    of: Ints,
    start: Longs,
    shown: Ints,
    counts: Ints,
    factor: float,
    step: float,
) -> int:
    """Return the number of items with a score.

    live, scores  classes that are candidates, and their scores
    score_of      score of each class, -inf for others
    """
    total = 0
    for x in range(len(live)):
        if scores[x] == value:
            total += int(start[live[x] + 1] - start[live[x]])
    for k in range(len(shown)):
        if shown[k] < 0:
            break
        before = score_of[of[shown[k]]]
        if before > -np.inf:
            after = faded(before, counts[k], factor, step)
            total += int(after == value) - int(before == value)
    return total


def best_items(
    scores: Scores,
    classes: Classes,
    hashes: Keys,
    salts: Keys,
    shown: Ints,
    counts: Ints,
    fading: Fading,
    ranks: int,
) -> Choice:
    """Return the best items of n students, up to `ranks` each.

    scores  scores of the classes that are candidates
    hashes  (I,) hash of each item, in the order of `classes.item`
    salts   (n,) random number of each decision
    shown   (n, S) items shown without a response, -1 after the last
    counts  (n, S) how often
    """
    n = len(salts)
    items, values = np.full((n, ranks), -1, np.int32), np.zeros((n, ranks))
    ties, candidates = np.zeros((n, ranks), np.int64), np.zeros(n, np.int64)
    choose(*scores, *classes, hashes, salts, shown, counts, *fading, items, values, ties, candidates)
    return Choice(items, values, 1.0 / np.maximum(ties, 1) * (ties > 0), candidates)


__all__ = ["Choice", "Classes", "Fading", "Scores", "best_items", "count_of", "faded", "mixed"]
