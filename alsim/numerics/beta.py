"""Quantile function of the Beta distribution, as a table that is indexed by one random word.

Drawing by inversion takes one word per variate and never rejects, so the start of an episode takes a fixed
number of words (clause S11.1). The table is cubic Hermite over segments that halve towards both tails:
float32 accuracy from 2**-33 to 1 - 2**-33. It is computed with +, -, *, / and exact scalings only, which IEEE 754
rounds in the same way everywhere, so every machine computes the same bits.

Source: continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions; Hermite
interpolation needs only the density, since the quantile function's slope is its reciprocal.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.jit.compile import rule
from alsim.numerics.elementary import MANTISSA_BITS
from alsim.types import HALF, ONE, ZERO, f32, i32, u32

Floats = NDArray[np.float64]

OCTAVES = 33
FIRST_EXPONENT = 126  # biased float32 exponent of 0.5, the smallest argument of beta_segment
TOLERANCE = 3e-8  # half the spacing of float32 numbers just below 1
MOST_ITERATIONS = 100
MOST_TERMS = 100_000
FINEST = 10  # at most 2**10 segments per octave

TAIL_SHIFT, TAIL_MASK = u32(31), u32(0x7FFFFFFF)


class BetaTable(NamedTuple):
    """Quantiles of Beta(a, b): cubic coefficients of each segment, lower tail then upper tail."""

    coefficients: NDArray[np.float32]
    """(2 tails * 33 octaves * 2**detail segments * 4,), constant term first."""
    detail: i32
    """Binary logarithm of the number of segments per octave."""


@rule
def beta_segment(detail: i32, word: u32) -> tuple[i32, f32]:
    """Return the table segment of a random word, and the position of the word in it, in [0, 1)."""
    octaves = f32(f32(i32(word & TAIL_MASK)) + HALF).view(i32)
    shift = i32(MANTISSA_BITS - detail)
    segment = i32((octaves >> shift) - i32(i32(FIRST_EXPONENT) << detail))
    segment = i32(segment + i32(word >> TAIL_SHIFT) * i32(i32(OCTAVES) << detail))
    inside = i32(octaves & i32(i32(i32(1) << shift) - i32(1)))
    return segment, f32(inside) * i32((i32(127) - shift) << MANTISSA_BITS).view(f32)


@rule
def beta_value(c0: f32, c1: f32, c2: f32, c3: f32, t: f32, word: u32) -> f32:
    """Return the variate of `word` from its segment's coefficients, in [0, 1]."""
    tail = min(max(((c3 * t + c2) * t + c1) * t + c0, ZERO), ONE)
    return ONE - tail if word >> TAIL_SHIFT else tail


@lru_cache(maxsize=16)
def beta_table(a: float, b: float) -> BetaTable:
    """Return the quantile table of Beta(a, b).

    a, b  shape parameters, > 0

    The absolute error is below 6e-8 (below 1e-7 when evaluated in float32) for all a, b >= 0.02. For smaller ones,
    1,024 segments per octave do not suffice; nearly all mass is then at 0 and 1, and the error is below 1e-4 in the
    variate and 1e-7 in probability.
    """
    for detail in (4, 6, 8, FINEST):
        nodes = _nodes(detail)
        tails = [_hermite(nodes, a, b), _hermite(nodes, b, a)]
        middle = (nodes[:-1] + nodes[1:]) / 2
        errors = [
            np.abs(_at_half(c[: len(middle)]) - _quantile(middle, *shape)).max()
            for c, shape in zip(tails, ((a, b), (b, a)), strict=True)
        ]
        if max(errors) <= TOLERANCE:
            break
    coefficients = np.concatenate(tails).astype(np.float32).ravel()
    coefficients.setflags(write=False)
    return BetaTable(coefficients, i32(detail))


def _nodes(detail: int) -> Floats:
    """Return the ends of the segments from 2**-33 to 1/2, with octaves of equal segments."""
    octave = np.ldexp(1.0, np.arange(OCTAVES - 1, dtype=np.intc) - np.intc(OCTAVES))
    inner = 1.0 + np.arange(2**detail) / 2**detail
    return np.append((octave[:, None] * inner).ravel(), 0.5)


def _hermite(nodes: Floats, a: float, b: float) -> Floats:
    """Return the cubic coefficients (segments, 4) of the lower-tail quantile function between `nodes`."""
    x = _quantile(nodes, a, b)
    slope = _slope(x, a, b)
    width, rise = np.diff(nodes), np.diff(x)
    d0, d1 = slope[:-1] * width, slope[1:] * width
    # A slope that contradicts its secant results from a quantile that underflowed or reached 1: use a straight line.
    straight = ~np.isfinite(d0 + d1) | (d0 > 9 * rise) | (d1 > 9 * rise)
    d0, d1 = np.where(straight, rise, d0), np.where(straight, rise, d1)
    cubic = np.stack([x[:-1], d0, 3 * rise - 2 * d0 - d1, d0 + d1 - 2 * rise], axis=1)
    # Rounding to float32 maps the largest words to 1/2 itself, the first point of one more octave.
    median = np.zeros((len(rise) // (OCTAVES - 1), 4))
    median[:, 0] = x[-1]
    return np.concatenate([cubic, median])


def _at_half(coefficients: Floats) -> Floats:
    """Return the value of each cubic in the middle of its segment."""
    c = coefficients.T
    return np.asarray(c[0] + (c[1] + (c[2] + c[3] / 2) / 2) / 2)


def _slope(x: Floats, a: float, b: float) -> Floats:
    """Return the slope of the quantile function at quantile x: one over the density."""
    clipped = np.clip(x, 1e-300, 1 - 2**-53)
    log_density = (a - 1) * _log(clipped) + (b - 1) * _log(1 - clipped) - _log_beta(a, b)
    slope = _exp(-log_density)
    return np.where((x <= 0) | (x >= 1), 0.0, slope)


def _quantile(u: Floats, a: float, b: float) -> Floats:
    """Return the quantiles of Beta(a, b) at u in (0, 1/2], by bracketed Newton steps on log I_x(a, b) in log x."""
    log_beta = _log_beta(a, b)
    log_u = _log(u)
    # Two initial values: I(x) ~ x**a / (a B), accurate in the tail, and a normal quantile, accurate for large a and b.
    from_tail = (log_u + _log(np.float64(a)) + log_beta) / a
    from_normal = a / (a + b) - _normal_tail(log_u) * np.sqrt(a * b / (a + b + 1)) / (a + b)
    y = np.where((a > 1) & (from_normal > 0), np.maximum(from_tail, _log(np.maximum(from_normal, 1e-300))), from_tail)
    y = np.clip(y, -799.0, -(2.0**-50))
    low, high = np.full_like(u, -800.0), np.zeros_like(u)
    active = np.arange(len(u))
    noise = 2e-16 * (abs(log_beta) + a + b + 50)  # rounding error of log I
    for _ in range(MOST_ITERATIONS):
        current = y[active]
        x = _exp(current)
        log_i = _log_incomplete(x, a, b, log_beta)
        error = log_i - log_u[active]
        low[active] = np.where(error < 0, current, low[active])
        high[active] = np.where(error < 0, high[active], current)
        # d log I / d log x = x * density / I
        slope = _exp(a * current + (b - 1) * _log(np.maximum(1 - x, 2.0**-53)) - log_beta - log_i)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            following = current - error / slope
        left, right = low[active], high[active]
        following = np.where((following >= left) & (following <= right), following, (left + right) / 2)
        y[active] = following
        scale = 4e-16 * np.maximum(1.0, np.abs(current))
        active = active[(np.abs(following - current) > scale) & (right - left > scale) & (np.abs(error) > noise)]
        if len(active) == 0:
            break
    return np.where(y <= -700, 0.0, _exp(y))


def _normal_tail(log_u: Floats) -> Floats:
    """Return the number z of standard deviations with P(Z < -z) = u for a normal variable Z, to 5e-4.

    Source: Abramowitz & Stegun (1964), 26.2.23.
    """
    t = np.sqrt(-2 * log_u)
    return np.asarray(
        t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    )


def _log_incomplete(x: Floats, a: float, b: float, log_beta: float) -> Floats:
    """Return the logarithm of the regularised incomplete beta function I_x(a, b)."""
    flip = x > (a + 1) / (a + b + 2)
    z = np.where(flip, 1 - x, x)
    p, q = np.where(flip, b, a), np.where(flip, a, b)
    z = np.maximum(z, 1e-320)
    log_front = p * _log(np.maximum(z, 1e-300)) + q * _log(np.maximum(1 - z, 2.0**-53)) - log_beta - _log(p)
    log_i = log_front + _log(_continued_fraction(z, p, q))
    return np.where(flip, _log(np.maximum(1 - _exp(np.minimum(log_i, 0)), 1e-300)), log_i)


def _continued_fraction(x: Floats, a: Floats, b: Floats) -> Floats:
    """Return the continued fraction of the incomplete beta function, x < (a + 1) / (a + b + 2), by Lentz's method."""
    c, d = np.ones_like(x), 1 / (1 - (a + b) * x / (a + 1))
    value = d
    tolerance = 1e-15 * (1 + (a + b) / 100)  # the rounding error for large shapes
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / (1 + even * d), 1 + even / c
        value = value * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + odd * d), 1 + odd / c
        change = d * c
        value = value * change
        if np.all(np.abs(change - 1) <= tolerance):
            break
    return value


def _log_beta(a: float, b: float) -> float:
    """Return log B(a, b)."""
    return _log_gamma(a) + _log_gamma(b) - _log_gamma(a + b)


def _log_gamma(x: float) -> float:
    """Return log Gamma(x), by Stirling's series beyond 16 and the recurrence below."""
    shift = 0.0
    while x < 16:
        shift += float(_log(np.array(x)))
        x += 1
    inverse = 1 / x
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    return (x - 0.5) * float(_log(np.array(x))) - x + 0.9189385332046727 + series - shift


def _log(x: Any) -> Floats:
    """Return the natural logarithm in float64, by arithmetic that rounds in the same way on every machine."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < 0.7071067811865476
    mantissa, exponent = np.where(small, 2 * mantissa, mantissa), exponent - small
    t = (mantissa - 1) / (mantissa + 1)
    square = t * t
    series = np.zeros_like(t)
    for k in range(25, 0, -2):
        series = series * square + 1 / k
    return np.asarray(exponent * 0.6931471805599453 + 2 * t * series)


def _exp(x: Any) -> Floats:
    """Return e**x in float64, by arithmetic that rounds in the same way on every machine."""
    x = np.clip(x, -740.0, 700.0)
    n = np.rint(x * 1.4426950408889634)
    r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10
    series = np.ones_like(r)
    for k in range(14, 0, -1):
        series = 1 + series * r / k
    return np.asarray(np.ldexp(series, n.astype(np.intc)))
