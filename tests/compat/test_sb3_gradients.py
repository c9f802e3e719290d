"""Gradients, Adam and losses of alsim's training, compared with PyTorch: relative differences below 1e-5."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from alsim.numerics.perceptron import RELU, TANH
from alsim.training.algorithms.adam import EPSILON, Adam
from alsim.training.algorithms.perceptron import Perceptron
from alsim.training.algorithms.proximal import differentiate_loss

ACTIVATIONS = {TANH: nn.Tanh, RELU: nn.ReLU}
ROWS, INPUTS, ACTIONS, OUTPUTS = 256, 32, 270, 272
CLIP, ENTROPY, VALUE, NORM, RATE = 0.2, 0.003, 1.0, 0.5, 5e-3


def pair(activation, hidden=(64, 64)):
    """Return a network of alsim, and a module of PyTorch with the same parameters."""
    sizes = [INPUTS, *hidden, OUTPUTS]
    ours = Perceptron(sizes, activation, ROWS)
    ours.parameters[:] = np.random.default_rng(0).normal(0, 0.1, len(ours.parameters))
    modules = []
    for k, layer in enumerate(ours.layers):
        linear = nn.Linear(*layer.weights.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weights.T.copy()))
            linear.bias.copy_(torch.from_numpy(layer.biases.copy()))
        modules += [linear, ACTIVATIONS[activation]()] if k + 1 < len(ours.layers) else [linear]
    return ours, nn.Sequential(*modules)


def batch(seed):
    """Return a minibatch whose ratios lie on both sides of the clipping range."""
    random = np.random.default_rng(seed)
    return (
        random.random((ROWS, INPUTS), np.float32),
        random.integers(0, ACTIONS, ROWS),
        (-np.log(ACTIONS) + random.normal(0, 0.3, ROWS)).astype(np.float32),
        random.normal(size=ROWS).astype(np.float32),
        random.normal(size=ROWS).astype(np.float32),
    )


def our_gradient(net, rows):
    observations, actions, old, advantages, targets = rows
    outputs = net.forward(observations)
    scratch = np.empty((3, OUTPUTS), np.float32)
    settings = map(np.float32, (CLIP, ENTROPY, VALUE))
    differentiate_loss(outputs, ACTIONS, actions, old, advantages, targets, *settings, scratch)
    net.backward(observations, outputs)
    return net.gradient


def their_loss(module, rows):
    observations, actions, old, advantages, targets = map(torch.from_numpy, rows)
    outputs = module(observations)
    policy, values = Categorical(logits=outputs[:, :ACTIONS]), outputs[:, ACTIONS]
    ratio = (policy.log_prob(actions) - old).exp()
    gains = torch.min(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
    return (VALUE * (values - targets) ** 2 - gains - ENTROPY * policy.entropy()).mean()


def flat(tensors):
    """Return parameters or gradients of a module in the order of alsim."""
    arrays = [tensor.detach().numpy() for tensor in tensors]
    return np.concatenate([array.T.ravel() for array in arrays])


def relative(ours, theirs):
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize("activation", [TANH, RELU])
@pytest.mark.parametrize("hidden", [(64, 64), (), (128,)])
def test_gradients_equal_those_of_autograd(activation, hidden):
    ours, module = pair(activation, hidden)
    rows = batch(1)
    their_loss(module, rows).backward()
    assert relative(our_gradient(ours, rows), flat(p.grad for p in module.parameters())) < 1e-5


def test_updates_equal_those_of_pytorch():
    """Gradients of PyTorch's module are given to both optimizers, so that differences do not add up."""
    ours, module = pair(TANH)
    parameters = ours.parameters.copy()
    adam, theirs = Adam(len(parameters)), torch.optim.Adam(module.parameters(), lr=RATE, eps=float(EPSILON))
    for update in range(20):
        theirs.zero_grad()
        (their_loss(module, batch(update)) * (100 if update % 2 else 0.01)).backward()
        gradient = flat(p.grad for p in module.parameters())
        nn.utils.clip_grad_norm_(module.parameters(), NORM)
        theirs.step()
        adam.update(parameters, gradient, RATE, NORM)
        assert relative(parameters, flat(module.parameters())) < 1e-5


def test_a_short_training_equals_that_of_pytorch():
    """Ten updates, each by its own gradients; rounding in earlier updates changes later gradients."""
    ours, module = pair(TANH)
    adam, theirs = Adam(len(ours.parameters)), torch.optim.Adam(module.parameters(), lr=1e-3, eps=float(EPSILON))
    for update in range(10):
        rows = batch(update)
        theirs.zero_grad()
        their_loss(module, rows).backward()
        nn.utils.clip_grad_norm_(module.parameters(), NORM)
        theirs.step()
        adam.update(ours.parameters, our_gradient(ours, rows), 1e-3, NORM)
    assert relative(ours.parameters, flat(module.parameters())) < 1e-4
