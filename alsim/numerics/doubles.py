"""Functions exp, log and cos for float64: branch-free, and with the same bits on every machine.

They are the counterparts of `elementary`, which has float32. The C library and NumPy may differ in the last bit between
machines, and NumPy also between layouts of arrays. Series are truncated below the rounding error of float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.jit.compile import lean_kernel, rule
from alsim.types import Doubles, f64, i64

LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has so few bits that n * LN2_HIGH is exact.
LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
# Adding 1.5 * 2**52 rounds a float64 to the nearest integer, which is then in the lowest bits of the sum.
ROUNDER = 6755399441055744.0
ROUNDER_BITS = i64(0x4338000000000000)
EXP_LOWEST, EXP_HIGHEST = -708.0, 709.0
MANTISSA_BITS, BIAS = i64(52), i64(1023)
SQRT_HALF_BITS = i64(0x3FE6A09E667F3BCD)


@rule
def exp(x: float) -> float:
    """Return e**x for x clipped to [-708, 709]; relative error below 5e-16."""
    x = min(max(x, EXP_LOWEST), EXP_HIGHEST)
    shifted = f64(x * LOG2_E + ROUNDER)
    n = shifted - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    tail = ((((r / 6227020800 + 1 / 479001600) * r + 1 / 39916800) * r + 1 / 3628800) * r + 1 / 362880) * r + 1 / 40320
    tail = ((((tail * r + 1 / 5040) * r + 1 / 720) * r + 1 / 120) * r + 1 / 24) * r + 1 / 6
    scale = i64((shifted.view(i64) - ROUNDER_BITS + BIAS) << MANTISSA_BITS).view(f64)
    return f64(((tail * r + 0.5) * (r * r) + r + 1.0) * scale)


@rule
def log(x: float) -> float:
    """Return the natural logarithm of a normal positive float64; error below 3e-16 relative or absolute."""
    bits = f64(x).view(i64)
    exponent = i64((bits - SQRT_HALF_BITS) >> MANTISSA_BITS)
    m = i64(bits - i64(exponent << MANTISSA_BITS)).view(f64)
    t = (m - 1.0) / (m + 1.0)
    s = t * t
    tail = (((s / 23 + 1 / 21) * s + 1 / 19) * s + 1 / 17) * s + 1 / 15
    tail = ((((tail * s + 1 / 13) * s + 1 / 11) * s + 1 / 9) * s + 1 / 7) * s + 1 / 5
    tail = (tail * s + 1 / 3) * s
    n = f64(exponent)
    return f64(n * LN2_HIGH + (2 * t + (2 * t * tail + n * LN2_LOW)))


@rule
def softplus(x: float) -> float:
    """Return log(1 + e**x) for x <= 0; error below 3e-16 relative, or absolute below x = -708."""
    u = exp(x)
    t = u / (2.0 + u)  # log(1 + u) = 2 artanh(t), with t <= 1/3
    s = t * t
    tail = (((s / 33 + 1 / 31) * s + 1 / 29) * s + 1 / 27) * s + 1 / 25
    tail = ((((tail * s + 1 / 23) * s + 1 / 21) * s + 1 / 19) * s + 1 / 17) * s + 1 / 15
    tail = ((((tail * s + 1 / 13) * s + 1 / 11) * s + 1 / 9) * s + 1 / 7) * s + 1 / 5
    return f64(2 * t * ((tail * s + 1 / 3) * s + 1.0))


@rule
def cos_turns(w: float) -> float:
    """Return cos(2 pi w) for w in [0, 1]; error below 4e-16 absolute."""
    x = 6.283185307179586 * (0.25 - abs(w - 0.5))  # minus its sine is the result
    z = x * x
    tail = (((z / 51090942171709440000.0 - 1 / 121645100408832000.0) * z + 1 / 355687428096000) * z) - 1 / 1307674368000
    tail = (((tail * z + 1 / 6227020800) * z - 1 / 39916800) * z + 1 / 362880) * z - 1 / 5040
    return f64(-(((tail * z + 1 / 120) * z - 1 / 6) * (z * x) + x))


@lean_kernel
def _exp_each(x: Doubles, out: Doubles) -> None:
    for k in range(len(x)):
        out[k] = exp(x[k])


@lean_kernel
def _log_each(x: Doubles, out: Doubles) -> None:
    for k in range(len(x)):
        out[k] = log(x[k])


def exp_each(x: ArrayLike) -> Doubles:
    """Return e**x of each entry of an array, by `exp`."""
    values = np.asarray(x, np.float64, order="C")  # ascontiguousarray would return (1,) for ()
    out = np.empty(values.shape)
    _exp_each(values.reshape(-1).view(), out.reshape(-1))
    return out


def log_each(x: ArrayLike) -> Doubles:
    """Return the natural logarithm of each entry of an array, by `log`."""
    values = np.asarray(x, np.float64, order="C")  # ascontiguousarray would return (1,) for ()
    out = np.empty(values.shape)
    _log_each(values.reshape(-1), out.reshape(-1))
    return out


__all__ = ["cos_turns", "exp", "exp_each", "log", "log_each", "softplus"]
