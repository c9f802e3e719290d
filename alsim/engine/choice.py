"""Random choice of one item among the best, with its probability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.types import Doubles, short_repr

WORD_RANGE = 2**32


@short_repr
class Pick(NamedTuple):
    """An item that was chosen among M."""

    place: int
    """Place of the item among them, in [0, M)."""
    propensity: float
    """Probability of the item."""


def pick(scores: Doubles, best: int, first: int, second: int) -> Pick:
    """Return one of the best items, each of which is equally likely, and its probability.

    scores         (M,) finite, M > 0
    best           number of best items among which one is chosen; all if there are fewer. Items with the same score as
                   the last of them share its place
    first, second  random words, in [0, 2**32)

    The probabilities are exact up to M / 2**32.
    """
    slots = min(best, len(scores))
    limit = np.partition(scores, len(scores) - slots)[len(scores) - slots]
    above, tied = np.flatnonzero(scores > limit), np.flatnonzero(scores == limit)
    slot = first * slots // WORD_RANGE
    if slot < len(above):
        return Pick(int(above[slot]), 1.0 / slots)
    place = second * len(tied) // WORD_RANGE
    return Pick(int(tied[place]), (slots - len(above)) / (slots * len(tied)))


__all__ = ["Pick", "pick"]
