"""Parents in a curriculum, as arrays: which LOs or activities have all their parents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alsim.types import Bools, Longs


def padded_parents(parents: Sequence[Sequence[int]]) -> Longs:
    """Return the parents of K activities as an array (K, P), in which K stands for no parent."""
    width = max([1, *map(len, parents)])
    padded = np.full((len(parents), width), len(parents), np.int64)
    for activity, listed in enumerate(parents):
        padded[activity, : len(listed)] = listed
    return padded


def ready(done: Bools, parents: Longs) -> Bools:
    """Return whether all parents of each activity are done, (N, K).

    done     (N, K)
    parents  (K, P) see `padded_parents`
    """
    padded = np.concatenate([done, np.ones((len(done), 1), np.bool_)], axis=1)
    return np.asarray(padded[:, parents].all(axis=2))


__all__ = ["padded_parents", "ready"]
