"""Resampling of independent units with replacement, from the counter-based random numbers (clause S11.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.types import Doubles, Keys, Longs, Purpose, Words, u32, u64

WORDS_PER_BLOCK = 2**20
"""Random words that are held in memory at a time; results do not depend on it."""


class Groups(NamedTuple):
    """Values (K,) and the number (K,), in [0, U), of the independent unit of each; every unit has a value."""

    values: Doubles
    unit: Longs
    num_units: int


def replicates(
    groups: Groups, statistic: Callable[[Doubles], float] | None, draws: int, seed: int
) -> Iterator[Doubles]:
    """Yield the statistic of each draw of U of the U units, in blocks (B,).

    statistic  function of the values (K,) of all drawn units; None for their mean
    """
    block_of = _means(groups) if statistic is None else _results(groups, statistic)
    for units in drawn_units(groups.num_units, draws, seed):
        yield block_of(units)


def drawn_units(num_units: int, draws: int, seed: int, *, stratum: int = 0, size: int | None = None) -> Iterator[Longs]:
    """Yield the units of each draw with replacement, in blocks (B, U): integers in [0, U).

    Draw d takes its words from the counters (block of four, d, stratum, BOOTSTRAP), with the seed as key. A draw
    therefore does not depend on the number of draws, and draws of different strata are independent.

    stratum  number of the resampled group, in [0, 2**32)
    size     number of draws in a block, at least 1; None: as WORDS_PER_BLOCK permits
    """
    from alsim.numerics.philox import random_words  # imports numba

    blocks = -(-num_units // 4)
    size = size or max(1, WORDS_PER_BLOCK // (4 * blocks))
    for first in range(0, draws, size):
        count = min(size, draws - first)
        step: Words = np.tile(np.arange(blocks, dtype=np.uint32), count)
        episode: Words = np.repeat(np.arange(first, first + count, dtype=np.uint32), blocks)
        strata: Words = np.full(len(step), stratum, np.uint32)
        keys: Keys = np.full(len(step), seed, np.uint64)
        words: Words = np.empty(4 * len(step), np.uint32)
        random_words(step, episode, strata, u32(Purpose.BOOTSTRAP), keys, words)
        units = words.reshape(count, -1)[:, :num_units].astype(np.uint64) * u64(num_units) >> u64(32)
        yield units.astype(np.int64)


def _means(groups: Groups) -> Callable[[Longs], Doubles]:
    """Return a function that computes the mean of all values of the drawn units, (B,), from the units (B, U)."""
    first = groups.values[0]  # the mean of equal values is this value
    sums = np.bincount(groups.unit, groups.values - first)
    sizes = np.bincount(groups.unit).astype(np.float64)

    def of_block(units: Longs) -> Doubles:
        # bincount adds in the order of the units: the bits depend neither on the block nor on the machine.
        draw = np.repeat(np.arange(len(units)), units.shape[1])
        total, size = (np.bincount(draw, column[units].ravel()) for column in (sums, sizes))
        return np.asarray(first + total / size)

    return of_block


def _results(groups: Groups, statistic: Callable[[Doubles], float]) -> Callable[[Longs], Doubles]:
    """Return a function that computes a statistic of all values of the drawn units, (B,), from the units (B, U)."""
    values = groups.values[np.argsort(groups.unit, kind="stable")]
    sizes = np.bincount(groups.unit)
    starts = np.cumsum(sizes) - sizes

    def of_draw(units: Longs) -> float:
        size = sizes[units]
        ends = np.cumsum(size)
        places = np.repeat(starts[units] - (ends - size), size) + np.arange(ends[-1])
        return result_of(statistic, values[places])

    def of_block(units: Longs) -> Doubles:
        return np.array([of_draw(row) for row in units])

    return of_block


def result_of(statistic: Callable[..., float], *values: Doubles, unit: str = "learners") -> float:
    """Return the result of a statistic as a float. Raises AlsimError for anything but a finite number.

    unit  the resampled units, as the message names them
    """
    result = np.asarray(statistic(*values))
    if result.ndim != 0 or result.dtype.kind not in "iuf" or not np.isfinite(result):
        raise AlsimError(
            f"statistic must return a finite number; got {str(result)[:60]} for {sum(one.size for one in values)} "
            f"values: use a statistic that is defined for every sample of the {unit}"
        )
    return float(result)


__all__ = ["Groups", "drawn_units", "replicates", "result_of"]
