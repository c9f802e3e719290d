"""Running scales of observations and rewards (Welford, 1962, doi:10.1080/00401706.1962.10490022)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.types import Bools, Doubles, Floats, f32

SMALLEST_VARIANCE = 1e-8
CONSTANT = 1e-9
"""Deviation, relative to the mean, of values that differ only by rounding."""


class Moments:
    """Mean and variance (K,) of all rows so far, combined batch by batch (Chan et al., 1979)."""

    def __init__(self, width: int) -> None:
        self.count = np.zeros(1)
        self.mean, self.squares = np.zeros(width), np.zeros(width)

    def add(self, rows: Floats | Doubles) -> None:
        """Add rows (N, K)."""
        count = float(self.count[0])
        mean = rows.mean(axis=0, dtype=np.float64)
        difference, total = mean - self.mean, count + len(rows)
        self.squares += np.square(rows - mean).sum(axis=0) + difference**2 * (count * len(rows) / total)
        self.mean += difference * (len(rows) / total)
        self.count[0] = total

    @property
    def deviation(self) -> Doubles:
        """Standard deviation (K,); 1 before the first row, and of values that were all the same so far.

        In the first step of CartPole, all rewards are 1, and their deviation is 0.
        """
        variance = self.squares / max(self.count[0], 1)
        varies = variance > (CONSTANT * self.mean) ** 2
        return np.where(varies, np.sqrt(variance + SMALLEST_VARIANCE), 1.0)

    def state(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, not copied."""
        return {f"{name}_count": self.count, f"{name}_mean": self.mean, f"{name}_squares": self.squares}


class ObservationScale:
    """Scale of observations (N, R): the mean so far is subtracted, and the result divided by the deviation."""

    def __init__(self, width: int) -> None:
        self.moments = Moments(width)

    def apply(self, observations: Floats) -> Floats:
        """Add observations to the moments, and return them scaled."""
        self.moments.add(observations)
        return self.scaled(observations)

    def scaled(self, observations: Floats) -> Floats:
        """Return scaled observations."""
        return np.asarray((observations - self.moments.mean) / self.moments.deviation, f32)

    def within(self, weights: Floats, biases: Floats) -> tuple[Floats, Floats]:
        """Return a first layer that does the same with observations that are not scaled."""
        factors = 1 / self.moments.deviation
        moved = biases - (self.moments.mean * factors) @ weights
        return np.asarray(weights * factors[:, None], f32), np.asarray(moved, f32)

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays by name."""
        return self.moments.state("observation")


class RewardScale:
    """Scale of rewards: they are divided by the deviation of the discounted return of each lane so far."""

    def __init__(self, num_lanes: int, gamma: float) -> None:
        self.moments, self.gamma = Moments(1), gamma
        self.returns = np.zeros(num_lanes)

    def apply(self, rewards: Floats, ended: Bools) -> Floats:
        """Add rewards (N,) of a step to the moments, and return them scaled."""
        self.returns = self.returns * self.gamma + rewards
        self.moments.add(self.returns[:, None])
        self.returns[ended] = 0
        return np.asarray(rewards / self.moments.deviation, f32)

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays by name."""
        return {"discounted_returns": self.returns} | self.moments.state("return")
