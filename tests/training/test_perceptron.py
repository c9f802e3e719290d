"""Networks with gradients, and Adam: compared with formulas in float64 and with finite differences."""

import numpy as np
import pytest

from alsim.numerics.perceptron import RELU, TANH
from alsim.training.algorithms.adam import BETA1, BETA2, EPSILON, Adam
from alsim.training.algorithms.perceptron import GAIN, Perceptron, orthogonal

EPS32 = float(np.finfo(np.float32).eps)
FORMULAS = {TANH: np.tanh, RELU: lambda x: np.maximum(x, 0)}


def network(sizes, activation, rows, seed=0):
    net = Perceptron(sizes, activation, rows)
    net.parameters[:] = np.random.default_rng(seed).normal(0, 0.5, len(net.parameters))
    return net


def outputs_of(parameters, sizes, activation, inputs):
    """Return the outputs in float64, by the definition."""
    rows, begin = np.asarray(inputs, np.float64), 0
    for k, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weights = parameters[begin : begin + fan_in * fan_out].reshape(fan_in, fan_out)
        begin += fan_in * fan_out
        rows = rows @ weights + parameters[begin : begin + fan_out]
        begin += fan_out
        if k + 2 < len(sizes):
            rows = FORMULAS[activation](rows)
    return rows


@pytest.mark.parametrize("activation", [TANH, RELU])
@pytest.mark.parametrize("sizes", [(5, 3), (4, 7, 2), (3, 6, 5, 16), (1, 1, 1)])
def test_outputs_and_gradients(sizes, activation):
    """The loss is a weighted sum of squared outputs, whose gradient by the outputs is known."""
    random = np.random.default_rng(1)
    net, inputs = network(sizes, activation, 9), random.normal(size=(8, sizes[0])).astype(np.float32)
    weights = random.normal(size=(8, sizes[-1]))
    parameters = net.parameters.astype(np.float64)

    outputs = net.forward(inputs)
    expected = outputs_of(parameters, sizes, activation, inputs)
    # Each of the layers rounds sums of at most 16 terms; their sizes stay below 10.
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=len(sizes) * 16 * 10 * EPS32)

    net.backward(inputs, (2 * weights * outputs).astype(np.float32))

    def loss(values):
        return float((weights * outputs_of(values, sizes, activation, inputs) ** 2).sum())

    step = 1e-6  # of float64: truncation and rounding of a central difference are below 1e-7
    differences = np.array(
        [
            (loss(parameters + step * unit) - loss(parameters - step * unit)) / (2 * step)
            for unit in np.eye(len(parameters))
        ]
    )
    scale = np.abs(differences).max()
    np.testing.assert_allclose(net.gradient, differences, rtol=0, atol=1e-5 * scale)


def test_fewer_rows_than_the_maximum():
    net = network((3, 4, 2), TANH, 10)
    inputs = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    whole = net.forward(inputs).copy()
    np.testing.assert_allclose(net.forward(inputs[:4]), whole[:4], atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
def test_orthogonal_weights(shape):
    matrix = orthogonal(np.random.default_rng(0), *shape).astype(np.float64)
    product = matrix.T @ matrix if shape[0] >= shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-6)


def test_initial_hidden_layers_are_orthogonal_and_the_last_one_is_zero():
    net = Perceptron((6, 6, 4), TANH, 1)
    net.initialize(np.random.default_rng(0))
    first, last = net.layers
    np.testing.assert_allclose(first.weights.T @ first.weights, GAIN**2 * np.eye(6), atol=1e-5)
    assert not first.biases.any() and not last.weights.any() and not last.biases.any()


def test_adam_and_clipping_by_the_formula():
    """The formulas of Kingma & Ba (2015), in float64."""
    random = np.random.default_rng(0)
    parameters = random.normal(size=40).astype(np.float32)
    expected, first, second = parameters.astype(np.float64), np.zeros(40), np.zeros(40)
    adam = Adam(40)
    for update in range(1, 21):
        gradient = random.normal(size=40).astype(np.float32) * (10 if update % 2 else 0.01)
        adam.update(parameters, gradient, 0.01, 0.5)
        norm = float(np.linalg.norm(gradient.astype(np.float64)))
        clipped = gradient * min(1.0, 0.5 / norm)
        first = float(BETA1) * first + (1 - float(BETA1)) * clipped
        second = float(BETA2) * second + (1 - float(BETA2)) * clipped**2
        rate = np.sqrt(second / (1 - float(BETA2) ** update)) + float(EPSILON)
        expected -= 0.01 * first / (1 - float(BETA1) ** update) / rate
    np.testing.assert_allclose(parameters, expected, atol=2e-5)
    assert adam.updates == 20


def test_a_gradient_of_zero_moves_nothing():
    parameters = np.ones(3, np.float32)
    Adam(3).update(parameters, np.zeros(3, np.float32), 1.0, 0.5)
    np.testing.assert_array_equal(parameters, 1)
