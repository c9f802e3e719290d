"""Multilayer perceptrons in float32, with the same bits in any batch and on every machine.

A matrix library sums in an order that depends on the batch and on the processor. Here, the sum
over the inputs of each entry of a layer has a fixed order, and the loop over the entries vectorises.
"""

from __future__ import annotations

from typing import NamedTuple

from alsim.jit.compile import lean_kernel, phase, wide_vectors
from alsim.numerics.elementary import tanh
from alsim.types import ZERO, Floats, Longs, u64

UNROLL = 4
"""Inputs per pass over the entries of a layer: fewer passes load and store the sums less often."""
TANH, RELU = 0, 1


class Layers(NamedTuple):
    """Parameters of a perceptron of K layers; each layer but the last, which is linear, has the activation."""

    sizes: Longs  # (K + 1,) entries of the input and of each layer; all but the last a multiple of UNROLL
    weights: Floats  # (sum over layers of inputs * outputs,) ordered by layer, then input
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
    num_inputs: int,
    num_outputs: int,
) -> None:
    """Write an affine map of the first `num_inputs` entries of two rows to their targets.

    w, b  offsets of the layer in weights and biases

    The two rows share each load of the weights, which do not fit in the L1 cache.
    """
    wide_vectors()
    for j in range(num_outputs):
        target[u64(j)] = biases[u64(b + j)]
        other_target[u64(j)] = biases[u64(b + j)]
    for i in range(0, num_inputs, UNROLL):
        x0, x1, x2, x3 = source[u64(i)], source[u64(i + 1)], source[u64(i + 2)], source[u64(i + 3)]
        y0, y1 = other_source[u64(i)], other_source[u64(i + 1)]
        y2, y3 = other_source[u64(i + 2)], other_source[u64(i + 3)]
        r0 = u64(w + i * num_outputs)
        r1, r2, r3 = r0 + u64(num_outputs), r0 + u64(2 * num_outputs), r0 + u64(3 * num_outputs)
        for j in range(num_outputs):
            k = u64(j)
            w0, w1, w2, w3 = weights[r0 + k], weights[r1 + k], weights[r2 + k], weights[r3 + k]
            target[k] = (((target[k] + x0 * w0) + x1 * w1) + x2 * w2) + x3 * w3
            other_target[k] = (((other_target[k] + y0 * w0) + y1 * w1) + y2 * w2) + y3 * w3


@phase
def activate(activation: int, row: Floats, count: int) -> None:
    """Apply the activation to the first `count` entries of a row."""
    wide_vectors()
    if activation == TANH:
        for j in range(count):
            row[u64(j)] = tanh(row[u64(j)])
    else:
        for j in range(count):
            row[u64(j)] = max(row[u64(j)], ZERO)


@phase
def copy(source: Floats, target: Floats, begin: int, place: int, count: int) -> None:
    """Copy `count` entries from `begin` of the source to `place` of the target."""
    wide_vectors()
    for j in range(count):
        target[u64(place + j)] = source[u64(begin + j)]


@phase
def clear(row: Floats, begin: int, end: int) -> None:
    """Set entries begin … end - 1 of a row to 0."""
    for j in range(begin, end):
        row[u64(j)] = ZERO


@lean_kernel
def forward(layers: Layers, rows: Floats, width: int, out: Floats, scratch: Floats) -> None:
    """Compute the outputs of the perceptron for N rows.

    rows     (N * width,); each row is padded with zeros to the size of the input
    out      (N * outputs,), written
    scratch  (4 * the largest size,) overwritten
    """
    sizes, weights, biases = layers.sizes, layers.weights, layers.biases
    last, longest, lanes = len(sizes) - 1, len(scratch) // 4, len(rows) // width
    outputs = sizes[last]
    row, result = scratch[:longest], scratch[longest : 2 * longest]
    other_row, other_result = scratch[2 * longest : 3 * longest], scratch[3 * longest :]
    for n in range(0, lanes, 2):
        other = min(n + 1, lanes - 1)  # the last row itself if N is odd
        clear(row, width, sizes[0])
        clear(other_row, width, sizes[0])
        copy(rows, row, n * width, 0, width)
        copy(rows, other_row, other * width, 0, width)
        w, b = 0, 0
        for layer in range(last):
            num_inputs, num_outputs = sizes[layer], sizes[layer + 1]
            affine(weights, biases, row, other_row, result, other_result, w, b, num_inputs, num_outputs)
            if layer + 1 < last:
                activate(layers.activation, result, num_outputs)
                activate(layers.activation, other_result, num_outputs)
            row, result = result, row
            other_row, other_result = other_result, other_row
            w += num_inputs * num_outputs
            b += num_outputs
        copy(row, out, 0, n * outputs, outputs)
        copy(other_row, out, 0, other * outputs, outputs)


__all__ = ["RELU", "TANH", "UNROLL", "Layers", "forward"]
