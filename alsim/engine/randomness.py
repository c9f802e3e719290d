"""Random words of decisions: pure functions of the seed, the student and the number of decisions before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alsim.engine.catalogue import hash_of
from alsim.numerics.philox import random_words
from alsim.types import Longs, Purpose, Words, u32, u64

BLOCKS = 2**16
"""Number of blocks of four words per decision: the block is in the high bits of the purpose."""


def decision_words(seed: int, names: Sequence[str], decisions: Longs, block: int = 0) -> Words:
    """Return random words of the next decision of each student, (n, 4).

    decisions  (n,) number of decisions before
    block      number of the block of four words, in [0, BLOCKS)

    They are a pure function of the arguments and the name of the student (clause S11.1).
    """
    hashes: NDArray[np.uint64] = np.array([hash_of(name) for name in names], np.uint64)
    low, high = (hashes & u64(0xFFFFFFFF)).astype(np.uint32), (hashes >> u64(32)).astype(np.uint32)
    words = np.empty(4 * len(names), np.uint32)
    keys = np.full(len(names), seed, np.uint64)
    purpose = u32(Purpose.ENGINE | block << 16)
    random_words(decisions.astype(np.uint32), high, low, purpose, keys, words)
    return words.reshape(-1, 4)


__all__ = ["BLOCKS", "decision_words"]
