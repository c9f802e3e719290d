"""An actor-critic network: forward and backward pass, and the gradients of the losses of PPO.

Matrix products are NumPy's, everything else is one kernel per layer. Parameters and gradients are one vector each, of
which the arrays of the layers are views, so that an optimizer and a checkpoint need no loop over layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, phase, wide_vectors
from alsim.numerics.elementary import exp, log, tanh
from alsim.numerics.perceptron import RELU, TANH
from alsim.types import HALF, ONE, ZERO, Floats, Longs, f32, u64

LARGEST_GAIN, POLICY_GAIN = 2**0.5, 0.01
"""Gains of the orthogonal initial weights of hidden layers and of the policy: the first policy is nearly uniform."""
ROW = 16
"""Outputs are padded with unused columns to a multiple of this number, for aligned rows."""


class Layer(NamedTuple):
    """Weights (inputs, outputs) and biases (outputs,) of a layer."""

    weights: Floats
    biases: Floats


def num_parameters(sizes: Sequence[int]) -> int:
    """Return the number of weights and biases of layers with these sizes."""
    return sum((inputs + 1) * outputs for inputs, outputs in zip(sizes, sizes[1:], strict=False))


def layers_of(vector: Floats, sizes: Sequence[int]) -> list[Layer]:
    """Return the layers whose parameters a vector holds one after the other, as views."""
    layers, place = [], 0
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        weights = vector[place : place + inputs * outputs].reshape(inputs, outputs)
        place += inputs * outputs
        layers.append(Layer(weights, vector[place : place + outputs]))
        place += outputs
    return layers


def initial_parameters(sizes: Sequence[int], num_actions: int, random: np.random.Generator) -> Floats:
    """Return initial parameters: orthogonal weights, and biases of 0.

    sizes        entries of the observation, of each hidden layer, and of the output
    num_actions  number of outputs that are logits; the next one is the value, and others are unused
    """
    vector = np.zeros(num_parameters(sizes), f32)
    layers = layers_of(vector, sizes)
    for layer in layers[:-1]:
        layer.weights[:] = LARGEST_GAIN * orthogonal(random, *layer.weights.shape)
    inputs = sizes[-2]
    layers[-1].weights[:, :num_actions] = POLICY_GAIN * orthogonal(random, inputs, num_actions)
    layers[-1].weights[:, num_actions : num_actions + 1] = orthogonal(random, inputs, 1)
    return vector


def orthogonal(random: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return a random matrix with orthonormal columns, or orthonormal rows if it has fewer (Saxe et al., 2014)."""
    basis, triangle = np.linalg.qr(random.normal(size=(max(rows, columns), min(rows, columns))))
    basis = basis * np.sign(np.diag(triangle))
    return np.asarray(basis if rows >= columns else basis.T, f32)


class Workspace:
    """Arrays for the forward and backward pass of up to N rows."""

    def __init__(self, sizes: Sequence[int], rows: int) -> None:
        self.outputs = [np.empty((rows, size), f32) for size in sizes[1:]]
        self.errors = [np.empty((rows, size), f32) for size in sizes[1:-1]]


def forward(layers: Sequence[Layer], rows: Floats, activation: int, work: Workspace) -> Floats:
    """Return the outputs (N, outputs) for observations (N, inputs), in an array of the workspace."""
    source, count = rows, len(rows)
    for k, layer in enumerate(layers):
        target = work.outputs[k][:count]
        np.matmul(source, layer.weights, out=target)
        finish_layer(target, layer.biases, activation if k + 1 < len(layers) else LINEAR)
        source = target
    return source


def backward(
    layers: Sequence[Layer], gradients: Sequence[Layer], rows: Floats, error: Floats, activation: int, work: Workspace
) -> None:
    """Write the gradients of the parameters, given those of the outputs of the last `forward`.

    error  (N, outputs) gradient with respect to the outputs
    """
    count = len(rows)
    for k in reversed(range(len(layers))):
        source = work.outputs[k - 1][:count] if k else rows
        np.matmul(source.T, error, out=gradients[k].weights)
        np.sum(error, axis=0, out=gradients[k].biases)
        if k:
            before = work.errors[k - 1][:count]
            np.matmul(error, layers[k].weights.T, out=before)
            differentiate_activation(before, source, activation)
            error = before


LINEAR = -1
"""No activation."""


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


@kernel
def finish_layer(rows: Floats, biases: Floats, activation: int) -> None:
    """Add the biases to all rows, and apply the activation."""
    for n in range(len(rows)):
        if activation == TANH:
            apply_tanh(rows[n], biases)
        elif activation == RELU:
            apply_relu(rows[n], biases)
        else:
            add_biases(rows[n], biases)


@phase
def tanh_slopes(errors: Floats, outputs: Floats) -> None:
    """Multiply by the derivative of tanh, given its values."""
    wide_vectors()
    for j in range(len(errors)):
        errors[u64(j)] *= ONE - outputs[u64(j)] * outputs[u64(j)]


@phase
def relu_slopes(errors: Floats, outputs: Floats) -> None:
    """Multiply by the derivative of the rectifier, given its values."""
    wide_vectors()
    for j in range(len(errors)):
        errors[u64(j)] = errors[u64(j)] if outputs[u64(j)] > ZERO else ZERO


@kernel
def differentiate_activation(errors: Floats, outputs: Floats, activation: int) -> None:
    """Multiply errors by the derivative of the activation, given its values."""
    for n in range(len(errors)):
        if activation == TANH:
            tanh_slopes(errors[n], outputs[n])
        else:
            relu_slopes(errors[n], outputs[n])
