"""Functions exp, exp2, log, cos and tanh for float32: branch-free, and with the same bits on every machine.

The functions of a C library may differ in the last bit between machines, and a call of them prevents vectorisation.
The polynomials are minimax fits (Remez) over the reduced range. An exhaustive test over float32 in
``tests/numerics/test_elementary.py`` asserts the error bounds in the docstrings.
"""

from __future__ import annotations

from alsim.jit.compile import rule
from alsim.types import HALF, ONE, f32, i32

TWO, QUARTER = f32(2), f32(0.25)

LOG2_E = f32(1.4426950408889634)
# ln 2 in two parts: the first has so few bits that n * LN2_HIGH is exact.
LN2_HIGH, LN2_LOW = f32(0.693359375), f32(-2.12194440e-4)
# Adding and subtracting 1.5 * 2**23 rounds a float32 to the nearest integer.
ROUNDER = f32(12582912.0)
EXP_LOWEST, EXP_HIGHEST = f32(-87.0), f32(88.0)
LN2, EXP2_LOWEST, EXP2_HIGHEST = f32(0.6931471805599453), f32(-126.0), f32(127.0)
E2, E3, E4, E5, E6 = f32(0.5000000027), f32(0.16666576646), f32(0.04166637408), f32(0.00836323507), f32(0.00139412183)

MANTISSA_BITS, BIAS = i32(23), i32(127)
SQRT_HALF_BITS = i32(0x3F3504F3)
L3, L4, L5, L6 = f32(0.33333326539541), f32(-0.25000280848877), f32(0.20001880075291), f32(-0.16643489168486)
L7, L8, L9, L10 = f32(0.14190231607521), f32(-0.12943401934442), f32(0.12798942763096), f32(-0.08305495140950)

S1, S3, S5, S7, S9 = (
    f32(6.28318527377),
    f32(-41.34167747840),
    f32(81.60223124256),
    f32(-76.57499217199),
    f32(39.7109180369),
)


@rule
def exp(x: f32) -> f32:
    """Return e**x for x clipped to [-87, 88]; relative error below 1.2e-7."""
    x = min(max(x, EXP_LOWEST), EXP_HIGHEST)
    n = (x * LOG2_E + ROUNDER) - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    tail = (((E6 * r + E5) * r + E4) * r + E3) * r + E2
    scale = i32((i32(n) + BIAS) << MANTISSA_BITS).view(f32)
    return (tail * (r * r) + r + ONE) * scale


@rule
def exp2(x: f32) -> f32:
    """Return 2**x for x clipped to [-126, 127]; relative error below 1.2e-7, exact for whole numbers."""
    x = min(max(x, EXP2_LOWEST), EXP2_HIGHEST)
    n = (x + ROUNDER) - ROUNDER
    r = (x - n) * LN2
    tail = (((E6 * r + E5) * r + E4) * r + E3) * r + E2
    scale = i32((i32(n) + BIAS) << MANTISSA_BITS).view(f32)
    return (tail * (r * r) + r + ONE) * scale


@rule
def log(x: f32) -> f32:
    """Return the natural logarithm of a normal positive float32; error below 1.2e-7 relative or 4e-8 absolute."""
    bits = f32(x).view(i32)
    exponent = i32(i32(bits - SQRT_HALF_BITS) >> MANTISSA_BITS)  # in int64, half as many would fit in a vector
    t = i32(bits - i32(exponent << MANTISSA_BITS)).view(f32) - ONE
    n = f32(exponent)
    tail = ((((((L10 * t + L9) * t + L8) * t + L7) * t + L6) * t + L5) * t + L4) * t + L3
    square = t * t
    return (tail * (square * t) + n * LN2_LOW - HALF * square) + t + n * LN2_HIGH


@rule
def cos_turns(w: f32) -> f32:
    """Return cos(2 pi w) for w in [0, 1]; error below 2e-7 absolute."""
    s = QUARTER - abs(w - HALF)
    z = s * s
    return -(((((S9 * z + S7) * z + S5) * z + S3) * z + S1) * s)


@rule
def tanh(x: f32) -> f32:
    """Return the hyperbolic tangent of x; error below 2e-7 absolute."""
    return ONE - TWO / (exp(TWO * x) + ONE)
