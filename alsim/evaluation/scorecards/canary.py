"""Leak canaries: logs whose answers are coin flips, and answers that change after a forecast.

A forecast may use earlier answers only. A coin flip does not depend on them, so an honest model forecasts coin flips
with an expected AUC of .50; a model that reads the answer itself has a higher one. The future of a coin flip does not
depend on it either. So a second check replaces an answer and the later ones: an honest forecast does not change.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alsim.responses.log import Responses
from alsim.types import Codes, Doubles, Keys, Longs, Purpose, Words, u32

FLIP, CUT = 0, 1
"""Second word of the counters of the coin flips, and of the answers from which a log changes."""


def coin_flips(count: int, seed: int) -> Codes:
    """Return fair coin flips (count,), 0 or 1: the highest bits of random words of the purpose CANARY."""
    return (_words(count, FLIP, seed) >> u32(31)).astype(np.int8)


def with_coin_flips(log: Responses, seed: int) -> Responses:
    """Return a log with coin flips in place of its answers."""
    return replace(log, correct=coin_flips(len(log), seed))


def changed_from(log: Responses, seed: int) -> tuple[Responses, Longs]:
    """Return a log with the opposite of each student's answers from a random one on, and its number (S,)."""
    length = np.diff(log.start)
    cut = (_words(len(length), CUT, seed).astype(np.int64) * length) >> 32
    later = place_of(log) >= cut[log.student]
    return replace(log, correct=np.where(later, 1 - log.correct, log.correct).astype(np.int8)), cut


def largest_change(log: Responses, cut: Longs, before: Doubles, after: Doubles) -> float:
    """Return the largest change of a forecast before which no answer of its student was replaced.

    cut            (S,) number of the first replaced answer of each student
    before, after  (R,) forecasts of the log, and of the replaced one
    """
    same = place_of(log) <= cut[log.student]
    return float(np.abs(before - after)[same].max(initial=0.0))


def place_of(log: Responses) -> Longs:
    """Return the number (R,) of each answer among those of its student, from 0."""
    return np.asarray(np.arange(len(log)) - log.start[log.student])


def _words(count: int, kind: int, seed: int) -> Words:
    """Return random words (count,)."""
    from alsim.numerics.philox import random_words  # imports numba

    step: Words = np.arange(-(-count // 4), dtype=np.uint32)
    kinds, zeros = np.full(len(step), kind, np.uint32), np.zeros(len(step), np.uint32)
    keys: Keys = np.full(len(step), seed, np.uint64)
    words: Words = np.empty(4 * len(step), np.uint32)
    random_words(step, kinds, zeros, u32(Purpose.CANARY), keys, words)
    return words[:count]


__all__ = ["changed_from", "coin_flips", "largest_change", "place_of", "with_coin_flips"]
