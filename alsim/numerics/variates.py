"""Random variates from random words: uniform, normal, and an integer below a bound."""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import rule
from alsim.numerics.elementary import cos_turns, log
from alsim.types import HALF, WORD_BITS, f32, i32, u32, u64

UNIT_SHIFT, UNIT_STEP = u32(9), f32(2.0**-23)
MINUS_TWO = f32(-2)


@rule
def uniform(word: u32) -> f32:
    """Return a uniform variate in (0, 1): the middle of one of 2**23 equal cells, all exact in float32."""
    return (f32(i32(word >> UNIT_SHIFT)) + HALF) * UNIT_STEP


@rule
def normal(radius: u32, angle: u32) -> f32:
    """Return a standard normal variate, by Box & Muller (1958); its magnitude is below 5.77."""
    return f32(np.sqrt(MINUS_TWO * log(uniform(radius))) * cos_turns(uniform(angle)))


@rule
def below(word: u32, n: u32) -> u32:
    """Return an integer drawn uniformly from 0 … n - 1; the probabilities differ from 1 / n by less than 2**-32."""
    return u32((u64(word) * u64(n)) >> WORD_BITS)
