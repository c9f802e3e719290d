"""Rank correlation of the means of several policies, with an interval from resampled learners."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.evaluation.estimates import CONFIDENCE, unit_means
from alsim.evaluation.resampling import drawn_units
from alsim.types import Doubles, Longs

DRAWS = 2000
"""Number of draws of learners."""


class RankCorrelation(NamedTuple):
    """Rank correlation with the interval of its resampled values; None where it is undefined."""

    value: float | None
    ci: tuple[float, float] | None


def rank_correlation(
    x: Doubles, y: Doubles, units: Longs | None = None, *, seed: int = 0, draws: int = DRAWS
) -> RankCorrelation:
    """Return Spearman's rank correlation, over K policies, of the means of x and of y, with a percentile interval.

    The policies are given. The interval is about the learners: each draw takes as many units as there are, with
    replacement, the same ones for all policies.

    x, y   (N, K) values of each learner under each policy, all defined
    units  independent unit of each learner, (N,); None: each learner is one
    seed   seed of the draws
    draws  number of draws

    The value is None with fewer than two policies, and if all means of x or of y are equal. The interval is None, too,
    with fewer than two units. Source: Spearman (1904), American Journal of Psychology 15, 72-101.
    """
    both = np.concatenate([x, y], axis=1)
    if units is not None:
        both = np.stack([unit_means(column, units) for column in both.T], axis=1)
    value = _spearman(both.mean(axis=0)[np.newaxis])[0]
    if np.isnan(value):
        return RankCorrelation(None, None)
    if len(both) < 2:
        return RankCorrelation(float(value), None)
    means = [both[drawn].mean(axis=1) for block in drawn_units(len(both), draws, seed) for drawn in _split(block, both)]
    found = _spearman(np.concatenate(means))
    low, high = np.quantile(found[~np.isnan(found)], ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return RankCorrelation(float(value), (float(low), float(high)))


def _split(block: Longs, both: Doubles) -> list[Longs]:
    """Return draws in parts, for which the drawn values take at most about 64 MB."""
    size = max(1, 8_000_000 // both.size)
    return [block[start : start + size] for start in range(0, len(block), size)]


def _spearman(means: Doubles) -> Doubles:
    """Return the rank correlation of the first and the second half of each row, (B,); NaN if a half is constant.

    means  (B, 2 K)
    """
    x, y = (ranks(half) for half in np.split(means, 2, axis=1))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.square(x).sum(axis=1) * np.square(y).sum(axis=1))
    return np.asarray(np.divide((x * y).sum(axis=1), norm, out=np.full(len(x), np.nan), where=norm > 0))


def ranks(values: Doubles) -> Doubles:
    """Return the rank of each value in its row, from 1, (B, K); equal values have the mean of their ranks."""
    below = (values[:, np.newaxis, :] < values[:, :, np.newaxis]).sum(axis=2)
    equal = (values[:, np.newaxis, :] == values[:, :, np.newaxis]).sum(axis=2)
    return np.asarray(below + (equal + 1) / 2)


__all__ = ["RankCorrelation", "rank_correlation", "ranks"]
