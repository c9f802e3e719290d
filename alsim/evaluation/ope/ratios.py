"""Weights of histories: products of the ratios of the probabilities of actions.

A product of many ratios may be larger than any float64. It is kept as a mantissa and an exponent of 2, which is exact
and has the same bits on every machine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.types import Doubles, Longs

HIGHEST = 400
"""Largest exponent of 2 of a weight: its square, summed over episodes, is then finite."""


class Products(NamedTuple):
    """Weights of n histories: mantissa * 2**exponent."""

    mantissa: Doubles
    """(n, T), 0 or with a magnitude in [0.5, 1)."""
    exponent: Longs
    """(n, T)."""

    def weights(self) -> Doubles:
        """Return the weights (n, T). Raises AlsimError for weights that overflow."""
        highest = np.where(self.mantissa > 0, self.exponent, 0)
        if (wrong := highest > HIGHEST).any():
            i, t = np.argwhere(wrong)[0].tolist()
            raise AlsimError(
                f"the weight of episode {i} overflows at step {t}: it is above 2**{HIGHEST}, as the target is too far "
                "from the behaviour policy; pass clip, or use a normalised estimator, 'mis' or 'window'"
            )
        return np.asarray(np.ldexp(self.mantissa, np.maximum(self.exponent, -1100).astype(np.int32)))

    def relative(self) -> Doubles:
        """Return the weights divided by a power of 2 in each step, (n, T), so that the largest is in [0.5, 1)."""
        exponent = np.where(self.mantissa > 0, self.exponent, np.iinfo(np.int32).min)
        shift = np.maximum(exponent - exponent.max(axis=0), -1100)
        return np.asarray(np.ldexp(self.mantissa, shift.astype(np.int32)))

    def clipped(self, clip: float) -> Products:
        """Return the weights that are at most `clip`."""
        if np.isinf(clip):
            return self
        mantissa, exponent = np.frexp(clip)
        is_larger = (self.exponent > exponent) | ((self.exponent == exponent) & (self.mantissa > mantissa))
        is_larger &= self.mantissa > 0
        return Products(np.where(is_larger, mantissa, self.mantissa), np.where(is_larger, exponent, self.exponent))


def products(ratios: Doubles, window: int | None = None) -> Products:
    """Return the weight of each history: the product of the ratios (n, T) so far, or of the last `window` ones."""
    n, steps = ratios.shape
    found = Products(np.empty((n, steps)), np.empty((n, steps), np.int64))
    mantissa, exponent = np.ones(n), np.zeros(n, np.int64)
    for t in range(steps):
        if window is None:
            mantissa, exponent = _times(mantissa, exponent, ratios[:, t])
        else:
            mantissa, exponent = np.ones(n), np.zeros(n, np.int64)
            for s in range(max(0, t - window + 1), t + 1):
                mantissa, exponent = _times(mantissa, exponent, ratios[:, s])
        found.mantissa[:, t], found.exponent[:, t] = mantissa, exponent
    return found


def _times(mantissa: Doubles, exponent: Longs, ratio: Doubles) -> tuple[Doubles, Longs]:
    """Return the products of numbers (n,) with ratios (n,)."""
    mantissa, more = np.frexp(mantissa * ratio)
    return mantissa, np.where(mantissa == 0, 0, exponent + more)


def shifted(weights: Doubles) -> Doubles:
    """Return the weights of the histories before each action, (n, T): 1 before the first."""
    return np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)


__all__ = ["Products", "products", "shifted"]
