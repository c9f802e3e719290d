"""The softmax of the outputs of a network, and actions drawn from it."""

from __future__ import annotations

from alsim.jit.compile import lean_kernel, phase, wide_vectors
from alsim.numerics.elementary import exp, log
from alsim.policies.network import STRIPES
from alsim.types import ZERO, Floats, Longs, f32, u64

SMALLEST_LOGIT = f32(-1e29)
"""Logits below it belong to actions that the mask forbids; their probability is 0."""


@phase
def weigh(row: Floats, count: int, weights: Floats) -> f32:
    """Write e**(x - max) of the first `count` entries of a row, 0 for forbidden ones; return the maximum."""
    wide_vectors()
    largest = row[0]
    for j in range(count):
        largest = max(largest, row[u64(j)])
    for j in range(count):
        weights[u64(j)] = exp(row[u64(j)] - largest) if row[u64(j)] > SMALLEST_LOGIT else ZERO
    return f32(largest)


@phase
def total_of(row: Floats, count: int, sums: Floats) -> f32:
    """Return the sum of the first `count` entries; `sums` is scratch, (STRIPES,) or longer."""
    wide_vectors()
    for k in range(STRIPES):
        sums[u64(k)] = ZERO
    whole = count - count % STRIPES
    for begin in range(0, whole, STRIPES):
        for k in range(STRIPES):
            sums[u64(k)] += row[u64(begin + k)]
    for j in range(whole, count):
        sums[u64(j - whole)] += row[u64(j)]
    total = ZERO
    for k in range(STRIPES):
        total += sums[u64(k)]
    return total


@lean_kernel
def sample(
    outputs: Floats, num_actions: int, uniforms: Floats, actions: Longs, log_probabilities: Floats, scratch: Floats
) -> None:
    """Draw an action of each row from the softmax of its logits.

    outputs            (N, M); the first `num_actions` columns are logits
    uniforms           (N,) uniform random numbers in [0, 1)
    actions            (N,), written
    log_probabilities  (N,), written
    scratch            (2, M); M is at least STRIPES
    """
    weights, sums = scratch[0], scratch[1]
    for n in range(len(outputs)):
        row = outputs[n]
        largest = weigh(row, num_actions, weights)
        total = total_of(weights, num_actions, sums)
        rest, action, last = uniforms[n] * total, 0, 0
        for j in range(num_actions):
            action = j
            if weights[j] > ZERO:
                last = j
            rest -= weights[j]
            if rest < ZERO:
                break
        if rest >= ZERO:  # by rounding
            action = last
        actions[n] = action
        log_probabilities[n] = row[action] - largest - log(total)


__all__ = ["sample", "total_of", "weigh"]
