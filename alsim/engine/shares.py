"""Probability with which each candidate, or each group of candidates, is chosen next."""

from __future__ import annotations

import numpy as np

from alsim.engine.selection import Classes, Fading, Scores, count_of, faded
from alsim.jit.compile import kernel, rule
from alsim.types import Bools, Doubles, Ints, Longs


@kernel
def write_shares(
    live: Ints,
    scores: Doubles,
    num_live: Longs,
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

    live ... num_live
                   fields of `Scores`
    of ... item    fields of `Classes`
    shown, counts  (n, S) items shown without a response, -1 after the last, and how often
    factor, step   see `Fading`
    above          (n, r) items that are no candidates, -1 is no item
    groups         (I,) group of each item
    shares         (n, G), written
    """
    is_mixed = np.zeros(len(start) - 1, np.bool_)  # the scores of the items of a class may differ
    best = np.empty(len(start) - 1)
    for i in range(len(scores)):
        _mark(is_mixed, of, shown[i], True)
        _mark(is_mixed, of, above[i], True)
        highest, total = -np.inf, 0
        for x in range(num_live[i]):
            c = live[i, x]
            best[x] = scores[i, x]
            if is_mixed[c]:
                best[x] = -np.inf
                for place in range(start[c], start[c + 1]):
                    value = _value(item[place], scores[i, x], shown[i], counts[i], above[i], factor, step)
                    best[x] = max(best[x], value)
            highest = max(highest, best[x])
        for g in range(shares.shape[1]):
            shares[i, g] = 0.0
        for x in range(num_live[i]):
            if best[x] == highest and highest > -np.inf:
                c = live[i, x]
                for place in range(start[c], start[c + 1]):
                    it = item[place]
                    if not is_mixed[c] or highest == _value(
                        it, scores[i, x], shown[i], counts[i], above[i], factor, step
                    ):
                        shares[i, groups[it]] += 1.0
                        total += 1
        for g in range(shares.shape[1]):
            if shares[i, g] > 0.0:
                shares[i, g] /= total
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
def _value(item: int, score: float, shown: Ints, counts: Ints, above: Ints, factor: float, step: float) -> float:
    """Return the score of an item, -inf if it is above."""
    for k in range(len(above)):
        if above[k] == item:
            return -np.inf
    return faded(score, count_of(shown, counts, item), factor, step)


def shares_of_best(
    scores: Scores, classes: Classes, shown: Ints, counts: Ints, fading: Fading, above: Ints, groups: Longs, size: int
) -> Doubles:
    """Return the probability that the next item is in each group, (n, G); each of the best items is equally likely.

    scores         scores of the classes that are candidates
    shown, counts  (n, S) items shown without a response, -1 after the last, and how often
    above          (n, r) items that are above and thus no candidates, -1 after the last
    groups, size   (I,) group of each item, and the number of groups G

    A row without candidates is 0.
    """
    found = np.empty((len(shown), size))
    write_shares(*scores, *classes, shown, counts, *fading, above, groups, found)
    return found


__all__ = ["shares_of_best"]
