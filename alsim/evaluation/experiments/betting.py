"""Confidence sequences by betting, for shares and other values in [0, 1].

A gambler bets that the mean exceeds m, another one that it is below. If the mean is m, the capital of neither is ever
more than 2 / alpha times the start, up to a probability of alpha / 2 each. So values m for which this happens are
excluded. The capital of the first gambler falls with m, that of the second one grows, so the rest is an interval.

The functions are for the package and do not check their arguments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.evaluation.experiments.predictable import Limits, variance_bets
from alsim.types import Doubles, Longs

GRID = 10_000
"""Number of intervals between candidate means in [0, 1]: limits are rounded outwards to 1e-4 of the range."""
ENTRIES = 100_000
"""Number of entries of a temporary array, which fits into a cache."""
HALVINGS = 50
"""Steps of bisection: the error of a limit is below 2**-50."""


def log_growth(x: Doubles, bets: Doubles, mean: ArrayLike, *, planned: bool = False) -> Doubles:
    """Compute the log growth of the capital of a bet that the mean exceeds a candidate.

        log(1 + min(lambda, c) (x - m)),   c = 1 / (2 m), or 1 for a planned number of values

    x     values in [0, 1], of any shape
    bets  lambda, see `variance_bets`, of this shape
    mean  candidates m in (0, 1), which broadcast with x

    For the opposite bet, pass 1 - x and 1 - m. Returns the growth; it falls with m.
    Source: Waudby-Smith & Ramdas (2024), Journal of the Royal Statistical Society B 86, 1-27, section 4.2.
    """
    m = np.asarray(mean)
    limit = 1.0 if planned else 0.5 / m
    return np.asarray(np.log1p(np.minimum(bets, limit) * (x - m)))


def betting_limits(x: Doubles, needed: float) -> Limits:
    """Compute limits after every value, which never widen.

    x       (n,) values in [0, 1] in order of arrival
    needed  log(2 / alpha), the log of the capital that excludes a candidate

    Returns the limits (n,) each, in [0, 1], rounded outwards to the grid of candidates.
    """
    bets = variance_bets(x, needed)
    lower, upper = np.empty(len(x)), np.empty(len(x))
    search = _Search(needed)
    begin = 0
    while begin < len(x):
        end = begin + max(1, ENTRIES // max(1, len(search.candidates)))
        block = slice(begin, end)
        lower[block], upper[block] = search.extend(x[block, np.newaxis], bets[block, np.newaxis])
        begin = end
    return lower, upper


class _Search:
    """Candidates k / GRID that are not excluded, with one excluded neighbour at each end, and their log capital.

    The neighbour shows whether the limits meet: then it is excluded from both sides.
    """

    def __init__(self, needed: float) -> None:
        self._needed = needed
        self._low, self._high = 0, GRID
        self.candidates: Longs = np.arange(1, GRID)
        self._above, self._below = np.zeros(GRID - 1), np.zeros(GRID - 1)

    def extend(self, x: Doubles, bets: Doubles) -> Limits:
        """Return the limits after each of the next values (T, 1), and drop the candidates that they exclude."""
        k = self.candidates
        above = self._above + np.cumsum(log_growth(x, bets, k / GRID), axis=0)
        below = self._below + np.cumsum(log_growth(1 - x, bets, 1 - k / GRID), axis=0)
        # Capital is monotone in the candidate, so the excluded candidates are those at the two ends.
        from_low, from_high = ((capital >= self._needed).sum(axis=1) for capital in (above, below))
        low = np.maximum(np.maximum.accumulate(k[0] - 1 + from_low), self._low)
        high = np.minimum(np.minimum.accumulate(k[-1] + 1 - from_high), self._high)
        self._low, self._high = int(low[-1]), int(high[-1])
        ends = sorted((self._low, self._high))
        kept = (k >= ends[0]) & (k <= ends[1])
        self.candidates, self._above, self._below = k[kept], above[-1, kept], below[-1, kept]
        return low / GRID, high / GRID


def betting_interval(x: Doubles, needed: float) -> tuple[float, float]:
    """Compute the interval for a planned number of values n: means that no number of values up to n excludes.

    Arguments are those of `betting_limits`. Returns (lower, upper), in [0, 1].
    Source: Waudby-Smith & Ramdas (2024), section 4.3.
    """
    bets = variance_bets(x, needed, len(x))
    return _lowest(x, bets, needed), 1 - _lowest(1 - x, bets, needed)


def _lowest(x: Doubles, bets: Doubles, needed: float) -> float:
    """Return the largest mean that the values exclude from below, 0 if there is none."""
    excluded, kept = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (excluded + kept) / 2
        if np.cumsum(log_growth(x, bets, middle, planned=True)).max() >= needed:
            excluded = middle
        else:
            kept = middle
    return excluded


__all__ = ["betting_interval", "betting_limits", "log_growth"]
