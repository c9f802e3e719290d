"""Mean reward of each arm: the state of UCB1, softmax and inverse-gap weighting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.types import Doubles, Longs


class Means(NamedTuple):
    """Rewards of K arms in each of N lanes, or in one row that all lanes share."""

    counts: Doubles  # (N, K) number of rewards
    sums: Doubles  # (N, K) sum of the rewards


def start_means(lanes: int, arms: int) -> Means:
    """Return the state before the first reward."""
    return Means(np.zeros((lanes, arms)), np.zeros((lanes, arms)))


def learn_means(state: Means, rows: Longs, arms: Longs, rewards: Doubles) -> None:
    """Add M rewards in their order, in place.

    rows     (M,) row of the state of each reward; rows may repeat
    arms     (M,)
    rewards  (M,)
    """
    np.add.at(state.counts, (rows, arms), 1.0)
    np.add.at(state.sums, (rows, arms), rewards)


def means_of(state: Means, before: float = 0.0) -> Doubles:
    """Return the mean reward of each arm, (N, K); `before` without a reward."""
    return np.where(state.counts > 0, state.sums / np.maximum(state.counts, 1), before)


__all__ = ["Means", "learn_means", "means_of", "start_means"]
