"""Philox4x32-10: random words as a pure function of a key and a counter.

Source: Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC'11;
constants and known answers as in Random123. Clause S11.1.
"""

from __future__ import annotations

from alsim.jit.compile import lean_kernel, rule
from alsim.types import WORD_BITS, Keys, Words, u32, u64

MULTIPLIER_0, MULTIPLIER_1 = u64(0xD2511F53), u64(0xCD9E8D57)
WEYL_0, WEYL_1 = u64(0x9E3779B9), u64(0xBB67AE85)
ROUNDS = 10


@rule
def philox(c0: u32, c1: u32, c2: u32, c3: u32, k0: u32, k1: u32) -> tuple[u32, u32, u32, u32]:
    """Return the four 32-bit words of counter (c0, c1, c2, c3) under key (k0, k1).

    Sums and products are computed in 64 bits and cast to 32 bits. In 32 bits, NumPy would warn of overflow, and numba
    would promote the type.
    """
    for _ in range(ROUNDS):
        low = MULTIPLIER_0 * u64(c0)
        high = MULTIPLIER_1 * u64(c2)
        c0, c1, c2, c3 = (
            u32(u32(high >> WORD_BITS) ^ c1 ^ k0),
            u32(high),
            u32(u32(low >> WORD_BITS) ^ c3 ^ k1),
            u32(low),
        )
        k0 = u32(u64(k0) + WEYL_0)
        k1 = u32(u64(k1) + WEYL_1)
    return c0, c1, c2, c3


@lean_kernel
def random_words(step: Words, episode: Words, learner: Words, purpose: u32, key: Keys, words: Words) -> None:
    """Write the four random words of each counter (step, episode, learner, purpose).

    step, episode, learner  (N,) first three words of each counter
    purpose                 last word of all counters
    key                     (N,) key of each counter
    words                   (4 N,), written: the four words of the first counter, then those of the second, …
    """
    for k in range(len(key)):
        w0, w1, w2, w3 = philox(step[k], episode[k], learner[k], purpose, u32(key[k]), u32(key[k] >> WORD_BITS))
        words[4 * k] = w0
        words[4 * k + 1] = w1
        words[4 * k + 2] = w2
        words[4 * k + 3] = w3
