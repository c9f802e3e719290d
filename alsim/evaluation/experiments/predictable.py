"""Plug-in mixtures for values in [0, 1]: empirical Bernstein and Hoeffding limits, at every time or a planned one.

The functions are for the package and do not check their arguments. Values are along the last axis, in order of arrival:
(n,), or (R, n) for R sequences at once. The weight ("bet") of a value depends on earlier values only, which makes the
limits valid at all times simultaneously.
"""

from __future__ import annotations

import numpy as np

from alsim.types import Doubles

LARGEST_BERNSTEIN = 0.5
"""Largest weight of a value in the empirical Bernstein sequence; the formula needs weights below 1."""
LARGEST_HOEFFDING = 1.0
"""Largest weight of a value in Hoeffding's sequence."""

Limits = tuple[Doubles, Doubles]
"""Lower and upper limits after 1, 2, ..., n values, (..., n) each."""


def times(x: Doubles) -> Doubles:
    """Return 1, ..., n for values (..., n)."""
    return np.arange(1.0, x.shape[-1] + 1)


def spread(x: Doubles, horizon: int | None) -> Doubles:
    """Return the number of values over which the evidence is spread: t log(1 + t), or the planned number of values."""
    t = times(x)
    return t * np.log1p(t) if horizon is None else np.full_like(t, horizon)


def variance_bets(x: Doubles, needed: float, horizon: int | None = None) -> Doubles:
    """Compute weights of values that are nearly the best for their variance.

        lambda_t = sqrt(2 log(2 / alpha) / (v_(t-1) t log(1 + t))),
        v_t = (1/4 + sum over i <= t of (x_i - m_i)^2) / (t + 1),   m_t = (1/2 + sum over i <= t of x_i) / (t + 1)

    x        (..., n) values in [0, 1]
    needed   log(2 / alpha)
    horizon  planned number of values, which replaces t log(1 + t); None for limits at every time

    Returns the weights (..., n), > 0.
    Source: Waudby-Smith & Ramdas (2024), Journal of the Royal Statistical Society B 86, 1-27, equations 15 and 26.
    """
    t = times(x)
    mean = (0.5 + np.cumsum(x, axis=-1)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2, axis=-1)) / (t + 1)
    return np.asarray(np.sqrt(2 * needed / (before(variance, 0.25) * spread(x, horizon))))


def empirical_bernstein(x: Doubles, needed: float, horizon: int | None = None) -> Limits:
    """Compute limits from the variance of the values, by a plug-in mixture.

        (sum of lambda_i x_i ± (log(2 / alpha) + sum of (x_i - a_(i-1))^2 psi(lambda_i))) / sum of lambda_i,
        psi(z) = -log(1 - z) - z,   a_t the mean of the first t values, a_0 the end of the range

    Arguments are those of `variance_bets`; weights are at most 1/2. Returns the limits, also outside [0, 1].
    Source: Waudby-Smith & Ramdas (2024), theorem 2.
    """
    bets = np.minimum(variance_bets(x, needed, horizon), LARGEST_BERNSTEIN)
    psi = -np.log1p(-bets) - bets
    lower, reflected = (
        _lower(y, bets, needed, (y - before(np.cumsum(y, axis=-1) / times(y), 0.0)) ** 2 * psi) for y in (x, 1 - x)
    )
    return lower, 1 - reflected


def hoeffding(x: Doubles, needed: float, horizon: int | None = None) -> Limits:
    """Compute limits that depend on the range of the values only, by a plug-in mixture.

        (sum of lambda_i x_i ± (log(2 / alpha) + sum of lambda_i^2 / 8)) / sum of lambda_i,
        lambda_t = min(1, sqrt(8 log(2 / alpha) / (t log(1 + t))))

    With a planned number of values n, the weights are sqrt(8 log(2 / alpha) / n). Arguments are those of
    `variance_bets`. Returns the limits, also outside [0, 1].
    Source: Waudby-Smith & Ramdas (2024), proposition 1.
    """
    bets = np.broadcast_to(np.sqrt(8 * needed / spread(x, horizon)), x.shape)
    if horizon is None:
        bets = np.minimum(bets, LARGEST_HOEFFDING)
    lower, reflected = (_lower(y, bets, needed, bets**2 / 8) for y in (x, 1 - x))
    return lower, 1 - reflected


def nested(limits: Limits) -> Limits:
    """Return limits that never widen: the intersection of the intervals up to each time."""
    return np.maximum.accumulate(limits[0], axis=-1), np.minimum.accumulate(limits[1], axis=-1)


def before(values: Doubles, first: float) -> Doubles:
    """Return the value before each of values (..., n); before the first one, `first`."""
    start = np.full((*values.shape[:-1], 1), first)
    return np.concatenate([start, values[..., :-1]], axis=-1)


def _lower(x: Doubles, bets: Doubles, needed: float, price: Doubles) -> Doubles:
    """Return the lower limits from the weights and the price of each value."""
    gained = np.cumsum(bets * x, axis=-1) - np.cumsum(price, axis=-1) - needed
    return np.asarray(gained / np.cumsum(bets, axis=-1))


__all__ = ["Limits", "before", "empirical_bernstein", "hoeffding", "nested", "spread", "times", "variance_bets"]
