"""Adam (Kingma & Ba, 2015, arXiv:1412.6980), and clipping of the norm of a gradient."""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import lean_kernel, phase, wide_vectors
from alsim.types import ONE, Floats, f32, u64

BETA1, BETA2 = f32(0.9), f32(0.999)
EPSILON = f32(1e-5)
"""Number that is added to the root of the second moment, as in most implementations of PPO."""
SMALLEST_NORM = 1e-6
"""Number that is added to the norm of a gradient before the division by it, as in PyTorch."""


class Adam:
    """Moments of the gradients of P parameters, and the number of updates so far."""

    def __init__(self, count: int) -> None:
        self.first, self.second = np.zeros(count, f32), np.zeros(count, f32)
        self.updates = 0

    def update(self, parameters: Floats, gradient: Floats, learning_rate: float, max_norm: float) -> None:
        """Change the parameters (P,) by one step, with the gradient (P,) shortened to a norm of at most `max_norm`."""
        self.updates += 1
        norm = float(np.sqrt(np.dot(gradient, gradient)))
        shortening = min(1.0, max_norm / (norm + SMALLEST_NORM))
        rate = learning_rate / (1 - float(BETA1) ** self.updates)
        scale = (1 - float(BETA2) ** self.updates) ** -0.5
        move(parameters, gradient, self.first, self.second, f32(shortening), f32(rate), f32(scale))


@phase
def move_all(
    parameters: Floats, gradient: Floats, first: Floats, second: Floats, shortening: f32, rate: f32, scale: f32
) -> None:
    """Update the moments, and change the parameters by `rate` times their ratio."""
    wide_vectors()
    for k in range(len(parameters)):
        i = u64(k)
        g = gradient[i] * shortening
        first[i] = BETA1 * first[i] + (ONE - BETA1) * g
        second[i] = BETA2 * second[i] + (ONE - BETA2) * g * g
        parameters[i] -= rate * first[i] / (np.sqrt(second[i]) * scale + EPSILON)


@lean_kernel
def move(
    parameters: Floats, gradient: Floats, first: Floats, second: Floats, shortening: f32, rate: f32, scale: f32
) -> None:
    """Change parameters by a step of Adam, see `Adam.update`."""
    move_all(parameters, gradient, first, second, shortening, rate, scale)
