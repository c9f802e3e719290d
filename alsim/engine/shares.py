"""Probability with which each candidate, or each group of candidates, is chosen next."""

from __future__ import annotations

import numpy as np

from alsim.engine.selection import Classes, Fading, count_of, faded
from alsim.jit.compile import kernel, rule
from alsim.types import Bools, Doubles, Ints, Longs


@kernel
def write_shares(
    scores: Doubles,
    of: Ints,
    start: Longs,
    item: Ints,
    shown: Ints,
    counts: Ints,
    factor: float,
    step: float,
    above: Ints,
    groups: Longs,
    shares: Doubles,
) -> None:
    """Write the share of each group among the items of largest score; a row without candidates is 0.

    scores         (n, C) score of each class, -inf if its items are no candidates
    of ... item    fields of `Classes`
    shown, counts  (n, S) items shown without a response, -1 after the last, and how often
    factor, step   see `Fading`
    above          (n, r) items that are no candidates, -1 is no item
    groups         (I,) group of each item
    shares         (n, G), written
    """
    num_classes = len(start) - 1
    is_mixed = np.zeros(num_classes, np.bool_)  # the scores of its items may differ
    for i in range(len(scores)):
        _mark(is_mixed, of, shown[i], True)
        _mark(is_mixed, of, above[i], True)
        best, total = -np.inf, 0
        for c in range(num_classes):
            if scores[i, c] == -np.inf or (not is_mixed[c] and scores[i, c] <= best):
                continue
            for place in range(start[c], start[c + 1] if is_mixed[c] else start[c] + 1):
                value = _value(item[place], scores[i, c], is_mixed[c], shown[i], counts[i], above[i], factor, step)
                best = max(best, value)
        shares[i, :] = 0.0
        for c in range(num_classes):
            if scores[i, c] == -np.inf or (not is_mixed[c] and scores[i, c] < best):
                continue
            for place in range(start[c], start[c + 1]):
                value = _value(item[place], scores[i, c], is_mixed[c], shown[i], counts[i], above[i], factor, step)
                if value == best and value > -np.inf:
                    shares[i, groups[item[place]]] += 1.0
                    total += 1
        for g in range(shares.shape[1]):
            shares[i, g] /= max(total, 1)
        _mark(is_mixed, of, shown[i], False)
        _mark(is_mixed, of, above[i], False)


@rule
def _mark(flags: Bools, of: Ints, items: Ints, value: bool) -> None:
    """Set the flags of the classes of items, up to the first -1."""
    for k in range(len(items)):
        if items[k] < 0:
            break
        flags[of[items[k]]] = value


@rule
def _value(
    item: int, score: float, is_mixed: bool, shown: Ints, counts: Ints, above: Ints, factor: float, step: float
) -> float:
    """Return the score of an item, -inf if it is above."""
    if not is_mixed:
        return score
    for k in range(len(above)):
        if above[k] == item:
            return -np.inf
    return faded(score, count_of(shown, counts, item), factor, step)


def shares_of_best(
    scores: Doubles, classes: Classes, shown: Ints, counts: Ints, fading: Fading, above: Ints, groups: Longs, size: int
) -> Doubles:
    """Return the probability that the next item is in each group, (n, G); each of the best items is equally likely.

    scores         (n, C) score of each class, -inf if its items are no candidates
    shown, counts  (n, S) items shown without a response, -1 after the last, and how often
    above          (n, r) items that are above and thus no candidates, -1 after the last
    groups, size   (I,) group of each item, and the number of groups G

    A row without candidates is 0.
    """
    found = np.empty((len(scores), size))
    write_shares(scores, *classes, shown, counts, *fading, above, groups, found)
    return found


__all__ = ["shares_of_best"]
