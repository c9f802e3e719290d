"""Multilayer perceptrons with gradients.

Matrix products are NumPy's, and everything else is one kernel per layer. Parameters and gradients are one vector each,
of which the arrays of the layers are views, so that the optimizer and checkpoints need no loop over layers.

`alsim.numerics.perceptron` computes the same outputs with the same bits on every machine, but more slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alsim.jit.compile import lean_kernel, phase, wide_vectors
from alsim.numerics.elementary import tanh
from alsim.numerics.perceptron import RELU, TANH
from alsim.types import ONE, ZERO, Floats, f32, u64

LINEAR = -1
"""No activation; the other values are TANH and RELU."""
GAIN = 2**0.5
"""Gain of the orthogonal initial weights of hidden layers."""


class Layer(NamedTuple):
    """Weights (inputs, outputs) and biases (outputs,) of a layer."""

    weights: Floats
    biases: Floats


class Perceptron:
    """A network with layers of the given sizes. All layers but the last have the activation.

    sizes       entries of the input, of each hidden layer, and of the output
    activation  TANH or RELU
    rows        maximum number of rows N of a call of `forward`
    """

    def __init__(self, sizes: Sequence[int], activation: int, rows: int) -> None:
        self.activation = activation
        count = sum((inputs + 1) * outputs for inputs, outputs in zip(sizes, sizes[1:], strict=False))
        self.parameters, self.gradient = np.zeros(count, f32), np.zeros(count, f32)
        self.layers, self.gradients = layers_of(self.parameters, sizes), layers_of(self.gradient, sizes)
        self._outputs = [np.empty((rows, size), f32) for size in sizes[1:]]
        self._errors = [np.empty((rows, size), f32) for size in sizes[1:-1]]

    def initialize(self, random: np.random.Generator) -> None:
        """Draw orthogonal weights for the hidden layers (Saxe et al., 2014, arXiv:1312.6120)."""
        for layer in self.layers[:-1]:
            layer.weights[:] = GAIN * orthogonal(random, *layer.weights.shape)

    def forward(self, inputs: Floats) -> Floats:
        """Return the outputs (N, outputs) for inputs (N, inputs). The next call overwrites them."""
        source, last = inputs, len(self.layers) - 1
        for k, (layer, whole) in enumerate(zip(self.layers, self._outputs, strict=True)):
            target = whole[: len(inputs)]
            np.matmul(source, layer.weights, out=target)
            finish_layer(target, layer.biases, self.activation if k < last else LINEAR)
            source = target
        return source

    def backward(self, inputs: Floats, error: Floats) -> None:
        """Write `gradient`, given the inputs (N, inputs) of the last `forward`.

        error  (N, outputs) gradient of the loss with respect to the outputs
        """
        for k in reversed(range(len(self.layers))):
            source = self._outputs[k - 1][: len(inputs)] if k else inputs
            np.matmul(source.T, error, out=self.gradients[k].weights)
            np.sum(error, axis=0, out=self.gradients[k].biases)
            if k:
                before = self._errors[k - 1][: len(inputs)]
                np.matmul(error, self.layers[k].weights.T, out=before)
                differentiate_activation(before, source, self.activation)
                error = before


def layers_of(vector: Floats, sizes: Sequence[int]) -> list[Layer]:
    """Return the layers whose parameters a vector holds one after the other, as views."""
    layers, begin = [], 0
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        middle, end = begin + inputs * outputs, begin + (inputs + 1) * outputs
        layers.append(Layer(vector[begin:middle].reshape(inputs, outputs), vector[middle:end]))
        begin = end
    return layers


def orthogonal(random: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return a random matrix with orthonormal columns, or orthonormal rows if it has fewer."""
    basis, triangle = np.linalg.qr(random.normal(size=(max(rows, columns), min(rows, columns))))
    basis = basis * np.sign(np.diag(triangle))
    return np.asarray(basis if rows >= columns else basis.T, f32)


@phase
def add_biases(row: Floats, biases: Floats) -> None:
    """Add the biases to a row."""
    wide_vectors()
    for j in range(len(row)):
        row[u64(j)] += biases[u64(j)]


@phase
def apply_tanh(row: Floats, biases: Floats) -> None:
    """Add the biases to a row, and apply tanh."""
    wide_vectors()
    for j in range(len(row)):
        row[u64(j)] = tanh(row[u64(j)] + biases[u64(j)])


@phase
def apply_relu(row: Floats, biases: Floats) -> None:
    """Add the biases to a row, and apply the rectifier."""
    wide_vectors()
    for j in range(len(row)):
        row[u64(j)] = max(row[u64(j)] + biases[u64(j)], ZERO)


@lean_kernel
def finish_layer(rows: Floats, biases: Floats, activation: int) -> None:
    """Add the biases to all rows, and apply the activation: TANH, RELU or LINEAR."""
    for n in range(len(rows)):
        if activation == TANH:
            apply_tanh(rows[n], biases)
        elif activation == RELU:
            apply_relu(rows[n], biases)
        else:
            add_biases(rows[n], biases)


@phase
def multiply_by_tanh_slope(errors: Floats, outputs: Floats) -> None:
    """Multiply errors by the derivative of tanh, given its values."""
    wide_vectors()
    for j in range(len(errors)):
        errors[u64(j)] *= ONE - outputs[u64(j)] * outputs[u64(j)]


@phase
def multiply_by_relu_slope(errors: Floats, outputs: Floats) -> None:
    """Multiply errors by the derivative of the rectifier, given its values."""
    wide_vectors()
    for j in range(len(errors)):
        errors[u64(j)] = errors[u64(j)] if outputs[u64(j)] > ZERO else ZERO


@lean_kernel
def differentiate_activation(errors: Floats, outputs: Floats, activation: int) -> None:
    """Multiply errors by the derivative of the activation, given its values."""
    for n in range(len(errors)):
        if activation == TANH:
            multiply_by_tanh_slope(errors[n], outputs[n])
        else:
            multiply_by_relu_slope(errors[n], outputs[n])


__all__ = ["LINEAR", "RELU", "TANH", "Layer", "Perceptron", "layers_of", "orthogonal"]
