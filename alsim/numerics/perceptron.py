"""Multilayer perceptrons over float32: the same bits in any batch and on every machine.

A library for matrices adds up in an order that depends on the batch and on the processor. Here each entry of a
layer is summed over its inputs in their order, and the loop over entries is what vectorises.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, phase, wide_vectors
from alsim.numerics.elementary import tanh
from alsim.types import Floats, Longs, f32, u64

AT_ONCE = 4
"""Inputs that a pass over a layer's entries takes up: fewer passes load and store the sums less often."""
ZERO = f32(0)
TANH, RELU = 0, 1


class Layers(NamedTuple):
    """A perceptron of K layers; the activation stands between them, and the last is linear."""

    sizes: Longs  # (K + 1,) entries of the input and of each layer; all but the last a multiple of AT_ONCE
    weights: Floats  # (sum over layers of inputs * outputs,) input by input, layer after layer
    biases: Floats  # (sum over layers of outputs,)
    activation: int  # TANH or RELU


@phase
def affine(
    weights: Floats,
    biases: Floats,
    source: Floats,
    other_source: Floats,
    target: Floats,
    other_target: Floats,
    w: int,
    b: int,
    many: int,
    to: int,
) -> None:
    """Write biases b … plus weights w … times the first `many` entries of a source to the first `to` of its target.

    Two rows share a look at the weights, which do not fit in the L1 cache.
    """
    wide_vectors()
    for j in range(to):
        target[u64(j)] = biases[u64(b + j)]
        other_target[u64(j)] = biases[u64(b + j)]
    for i in range(0, many, AT_ONCE):
        x0, x1, x2, x3 = source[u64(i)], source[u64(i + 1)], source[u64(i + 2)], source[u64(i + 3)]
        y0, y1 = other_source[u64(i)], other_source[u64(i + 1)]
        y2, y3 = other_source[u64(i + 2)], other_source[u64(i + 3)]
        r0 = u64(w + i * to)
        r1, r2, r3 = r0 + u64(to), r0 + u64(2 * to), r0 + u64(3 * to)
        for j in range(to):
            k = u64(j)
            w0, w1, w2, w3 = weights[r0 + k], weights[r1 + k], weights[r2 + k], weights[r3 + k]
            target[k] = (((target[k] + x0 * w0) + x1 * w1) + x2 * w2) + x3 * w3
            other_target[k] = (((other_target[k] + y0 * w0) + y1 * w1) + y2 * w2) + y3 * w3


@phase
def bend(activation: int, row: Floats, many: int) -> None:
    """Apply the activation to the first `many` entries of a row."""
    wide_vectors()
    if activation == TANH:
        for j in range(many):
            row[u64(j)] = tanh(row[u64(j)])
    else:
        for j in range(many):
            row[u64(j)] = max(row[u64(j)], ZERO)


@phase
def copy(source: Floats, target: Floats, begin: int, place: int, many: int) -> None:
    """Copy `many` entries."""
    wide_vectors()
    for j in range(many):
        target[u64(place + j)] = source[u64(begin + j)]


@kernel
def forward(layers: Layers, rows: Floats, width: int, out: Floats) -> None:
    """Send N rows through the perceptron.

    rows   (N * width,); the perceptron's input is a row, and zeros up to its size
    out    (N * outputs,)
    """
    sizes, weights, biases = layers.sizes, layers.weights, layers.biases
    last, longest, lanes = len(sizes) - 1, sizes.max(), len(rows) // width
    outputs = sizes[last]
    here, there = np.zeros(longest, f32), np.zeros(longest, f32)
    other_here, other_there = np.zeros(longest, f32), np.zeros(longest, f32)
    for n in range(0, lanes, 2):
        other = min(n + 1, lanes - 1)  # of an odd one out, itself
        here[width : sizes[0]] = ZERO
        other_here[width : sizes[0]] = ZERO
        copy(rows, here, n * width, 0, width)
        copy(rows, other_here, other * width, 0, width)
        w, b = 0, 0
        for layer in range(last):
            many, to = sizes[layer], sizes[layer + 1]
            affine(weights, biases, here, other_here, there, other_there, w, b, many, to)
            if layer + 1 < last:
                bend(layers.activation, there, to)
                bend(layers.activation, other_there, to)
            here, there = there, here
            other_here, other_there = other_there, other_here
            w += many * to
            b += to
        copy(here, out, 0, n * outputs, outputs)
        copy(other_here, out, 0, other * outputs, outputs)


__all__ = ["AT_ONCE", "RELU", "TANH", "Layers", "forward"]
