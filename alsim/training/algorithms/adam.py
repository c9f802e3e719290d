"""Adam (Kingma & Ba, 2015, arXiv:1412.6980), and clipping of the norm of a gradient."""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import kernel, phase, wide_vectors
from alsim.types import ONE, Floats, f32, u64

BETA1, BETA2 = f32(0.9), f32(0.999)


class Adam:
    """Moments of the gradients of P parameters.

    epsilon  number added to the root of the second moment
    """

    def __init__(self, count: int, epsilon: float = 1e-5) -> None:
        self.first, self.second = np.zeros(count, f32), np.zeros(count, f32)
        self.epsilon, self.updates = f32(epsilon), 0

    def update(self, parameters: Floats, gradient: Floats, learning_rate: float, max_norm: float) -> None:
        """Change the parameters by one step, after the gradient was shortened to `max_norm`."""
        self.updates += 1
        norm = float(np.sqrt(np.dot(gradient, gradient)))
        factor = min(1.0, max_norm / (norm + 1e-6))
        rate = learning_rate / (1 - float(BETA1) ** self.updates)
        scale = 1 / (1 - float(BETA2) ** self.updates) ** 0.5
        move(parameters, gradient, self.first, self.second, f32(factor), f32(rate), f32(scale), self.epsilon)


@phase
def _move(parameters: Floats, gradient: Floats, first: Floats, second: Floats, factor: f32, rate: f32, scale: f32, epsilon: f32) -> None:
    wide_vectors()
    for k in range(len(parameters)):
        i = u64(k)
        g = gradient[i] * factor
        first[i] = BETA1 * first[i] + (ONE - BETA1) * g
        second[i] = BETA2 * second[i] + (ONE - BETA2) * g * g
        parameters[i] -= rate * first[i] / (np.sqrt(second[i]) * scale + epsilon)


@kernel
def move(parameters: Floats, gradient: Floats, first: Floats, second: Floats, factor: f32, rate: f32, scale: f32, epsilon: f32) -> None:
    """Change parameters by a step of Adam."""
    _move(parameters, gradient, first, second, factor, rate, scale, epsilon)
