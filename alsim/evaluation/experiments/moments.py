"""Moments of samples, from which tests of means are computed: one sample, or many samples at once."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from alsim.types import Doubles, short_repr


@short_repr
class Moments(NamedTuple):
    """Size, mean and variance of a sample; arrays (...,) for many samples."""

    n: Doubles
    """Number of independent values."""
    mean: Doubles
    variance: Doubles
    """Unbiased variance of the values: the sum of squared deviations divided by n - 1."""

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Self:
        """Return the moments along the last axis of values (..., n).

        The variance of one value is NaN, and so is the mean of none.
        """
        x = np.asarray(values, np.float64)
        n = np.full(x.shape[:-1], float(x.shape[-1]))
        if x.shape[-1] < 2:
            unknown = np.full(x.shape[:-1], np.nan)
            return cls(n, x[..., 0] if x.shape[-1] else unknown, unknown)
        first = x[..., :1]  # equal values have exactly this mean, and no variance
        rest = x - first
        return cls(n, first[..., 0] + rest.mean(axis=-1), rest.var(axis=-1, ddof=1))

    @property
    def squared_error(self) -> Doubles:
        """Squared standard error of the mean."""
        return np.asarray(self.variance / self.n)


__all__ = ["Moments"]
