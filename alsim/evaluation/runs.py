"""Statistics of several training runs: scores of R runs at M tasks, with stratified bootstrap intervals.

A run is one training with its own seed. A task is a setting in which the runs of an algorithm are scored, such as a
dynamics. Two to ten runs are common, so that means and their normal intervals mislead.

Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", NeurIPS 34; definitions of their package rliable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE, Statistic, deviation_of, mean_of
from alsim.evaluation.resampling import WORDS_PER_BLOCK, drawn_units, result_of
from alsim.evaluation.statistics_input import (
    read_confidence,
    read_draws,
    read_number,
    read_scores,
    read_seed,
    read_thresholds,
)
from alsim.types import Doubles

TRIMMED = 0.25
"""Share of the scores that the interquartile mean leaves out at each end."""


def iqm(x: ArrayLike) -> float:
    """Compute the interquartile mean: the mean of the middle half of all scores, of all runs and tasks together.

    Of K = R M scores, the floor(K / 4) smallest and as many of the largest are left out.

    x  (R, M) scores of runs at tasks, or (R,) for one task; finite numbers

    Returns the mean, in the unit of the scores. Raises AlsimError for invalid scores.
    Source: Agarwal et al. (2021), section 4.3; `scipy.stats.trim_mean(x, 0.25, axis=None)`.
    """
    scores = np.sort(read_scores(x, "x"), axis=None)
    cut = int(TRIMMED * len(scores))
    return mean_of(scores[cut : len(scores) - cut])


def optimality_gap(x: ArrayLike, gamma: float = 1.0) -> float:
    """Compute the mean shortfall of the scores below gamma; scores above it count as gamma.

        gamma - mean of min(x, gamma)

    x      (R, M) scores of runs at tasks, or (R,) for one task; finite numbers
    gamma  a sufficient score, in the unit of the scores

    Returns the gap, at least 0; lower is better. Raises AlsimError for invalid arguments.
    Source: Agarwal et al. (2021), section 4.3.
    """
    enough = read_number(gamma, "gamma", "pass the score above which more is no better")
    shortfall = np.maximum(enough - read_scores(x, "x"), 0.0)
    return mean_of(shortfall.ravel())


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Compute the probability that a run of x has a higher score than a run of y at the same task.

        P = mean over tasks of  (number of pairs with x > y + half of the pairs with x = y) / (R_x R_y)

    x  (R_x, M) scores of runs at tasks, or (R_x,) for one task; finite numbers
    y  (R_y, M) or (R_y,) scores of other runs at the same tasks

    Returns P in [0, 1]; 0.5 if neither is better. Raises AlsimError for invalid scores.
    Source: Agarwal et al. (2021), section 4.3; Mann & Whitney (1947), Annals of Mathematical Statistics 18, 50-60.
    """
    one, other = _same_tasks([read_scores(x, "x"), read_scores(y, "y")], "x and y")
    shares = [_share_above(a, np.sort(b)) for a, b in zip(one.T, other.T, strict=True)]
    return mean_of(np.array(shares))


def performance_profile(x: ArrayLike, thresholds: ArrayLike) -> Doubles:
    """Compute the share of scores, of all runs and tasks, that are above each threshold.

    A score equal to a threshold is not above it.

    x           (R, M) scores of runs at tasks, or (R,) for one task; finite numbers
    thresholds  (K,) in ascending order, in the unit of the scores

    Returns the shares (K,), which do not increase. Raises AlsimError for invalid arguments.
    Source: Agarwal et al. (2021), section 4.2; Dolan & More (2002), Mathematical Programming 91, 201-213.
    """
    scores = np.sort(read_scores(x, "x"), axis=None)
    above = len(scores) - np.searchsorted(scores, read_thresholds(thresholds), side="right")
    return np.asarray(above / len(scores))


def run_interval(
    statistic: Callable[..., float],
    *scores: ArrayLike,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Statistic:
    """Compute a statistic of the scores of runs, with a percentile interval of the stratified bootstrap.

    Each draw takes as many runs as there are, with replacement, in each task and each array of scores independently.
    The scores of a run at different tasks are thus taken as independent, as if each task had its own training.
    Intervals of few runs are too narrow, see the page "Statistics" of the documentation.

    statistic   function that returns a finite number for arrays of these shapes: `iqm`, `optimality_gap`,
                `probability_of_improvement`, or for example `lambda x, y: iqm(x) - iqm(y)`
    scores      the arguments of the statistic: (R, M) scores of runs at tasks, or (R,) for one task. The number of runs
                may differ between the arrays
    draws       number of draws, at least 2 / (1 - confidence)
    seed        integer in [0, 2**64)
    confidence  level of the interval, in (0, 1)

    Returns a Statistic, the same for the same arguments: `mean` is the statistic of the scores, `se` the standard
    deviation over the draws, `ci` their quantiles, and `n` the number of runs in all arrays. `se` and `ci` are NaN if
    an array has one run. Raises AlsimError for invalid arguments, and for a statistic that is undefined for a draw.
    Source: Agarwal et al. (2021), section 4.1.
    """
    if not callable(statistic):
        raise InputTypeError(f"statistic must be a function of scores; got {statistic!r:.100}: pass iqm, for example")
    if not scores:
        raise AlsimError("scores must be one or more arrays; got none: pass those that the statistic takes, after it")
    names = ["scores"] if len(scores) == 1 else [f"scores {place}" for place in range(1, len(scores) + 1)]
    arrays = [read_scores(one, name) for one, name in zip(scores, names, strict=True)]
    level, key = read_confidence(confidence), read_seed(seed)
    count = read_draws(draws, level)
    found, runs = result_of(statistic, *arrays, unit="runs"), sum(map(len, arrays))
    if min(map(len, arrays)) < 2:
        return Statistic(found, math.nan, (math.nan, math.nan), runs)
    drawn = np.array([result_of(statistic, *one, unit="runs") for one in _resamples(arrays, count, key)])
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    return Statistic(found, deviation_of(drawn), (float(low), float(high)), runs)


def _resamples(arrays: Sequence[Doubles], draws: int, seed: int) -> Iterator[tuple[Doubles, ...]]:
    """Yield the resampled arrays of each draw, (R, M) each. Each column of each array is a stratum."""
    columns = sum(len(one) * one.shape[1] for one in arrays)
    size = max(1, WORDS_PER_BLOCK // columns)
    first = np.cumsum([0, *(one.shape[1] for one in arrays)])
    streams = [
        [drawn_units(len(one), draws, seed, stratum=int(start) + task, size=size) for task in range(one.shape[1])]
        for one, start in zip(arrays, first[:-1], strict=True)
    ]
    for _ in range(0, draws, size):
        blocks = [
            np.stack([column[next(stream)] for column, stream in zip(one.T, own, strict=True)], axis=-1)
            for one, own in zip(arrays, streams, strict=True)
        ]
        yield from zip(*blocks, strict=True)


def _share_above(a: Doubles, b: Doubles) -> float:
    """Return the share of pairs with a > b, where pairs with a = b count half; b is sorted."""
    twice = np.searchsorted(b, a, side="left") + np.searchsorted(b, a, side="right")
    return int(twice.sum()) / (2 * len(a) * len(b))


def _same_tasks(arrays: list[Doubles], name: str) -> list[Doubles]:
    """Return arrays of scores. Raises AlsimError unless they have the same number of tasks."""
    tasks = [one.shape[1] for one in arrays]
    if len(set(tasks)) > 1:
        raise AlsimError(
            f"{name} must have the same tasks as columns; got {' and '.join(map(str, tasks))} tasks: pass the scores "
            "at the tasks that both have"
        )
    return arrays


__all__ = ["iqm", "optimality_gap", "performance_profile", "probability_of_improvement", "run_interval"]
