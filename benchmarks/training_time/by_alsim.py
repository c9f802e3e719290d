"""Trainings by `alsim.training.ppo` and `alsim.training.dqn`."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

from alsim import training
from alsim.config import Config
from alsim.policies.network import NetworkPolicy
from alsim.training.algorithms.on_policy import WIDTH, OnPolicy
from alsim.training.settings import DQN, PPO
from benchmarks.training_time.clock import Clock, Profile

ROLLOUTS = 60
"""Number of rollouts of a profile."""


def train(settings: PPO | DQN, seed: int, config: Config, clock: Clock) -> None:
    """Train once."""
    clock.start()
    agent = _algorithm(settings)(
        config,
        seed=seed,
        hyperparameters=settings,
        progress=lambda update: clock.read(update.steps, lambda: _policy(update.algorithm)),
    )
    clock.read(agent.steps, lambda: agent.policy)


def prepare(settings: PPO | DQN, config: Config) -> None:
    """Compile, or load the compiled code."""
    _algorithm(settings)(config, hyperparameters=settings, steps=2 * settings.rollout_steps)


def shares(settings: PPO | DQN, config: Config) -> dict[str, float]:
    """Return the shares of the parts of a training, and of NumPy's matrix products alone, at the same shapes."""
    profile = Profile()

    def watch(update: training.Update) -> None:
        algorithm = update.algorithm
        if update.steps == 0:
            profile.watch(algorithm.lanes, "step", "environment")
            profile.watch(algorithm, "collect", "collection")
            profile.watch(algorithm, "improve", "update")

    with profile.part("training"):
        _algorithm(settings)(config, hyperparameters=settings, steps=ROLLOUTS * settings.rollout_steps, progress=watch)
    found = profile.shares("training")
    products = ROLLOUTS * _seconds_of_products(settings, config.num_los) / profile.seconds["training"]
    return {
        "environment": found["environment"],
        "choice of actions": found["collection"] - found["environment"],
        "update": found["update"],
        "matrix products alone": products,
    }


def _algorithm(settings: PPO | DQN) -> Callable[..., training.Agent]:
    return training.ppo if isinstance(settings, PPO) else training.dqn


def _policy(algorithm: OnPolicy) -> NetworkPolicy:
    epsilon = getattr(algorithm.settings, "epsilon", 0.0)
    return NetworkPolicy(algorithm.network, acting=algorithm.acting, epsilon=epsilon)


def _seconds_of_products(settings: PPO | DQN, outcomes: int, repetitions: int = 20) -> float:
    """Return the processor seconds of the matrix products of a rollout and its update, alone."""
    sizes = [outcomes + 2, *settings.net_arch, -(-(9 * outcomes + 1) // WIDTH) * WIDTH]
    rows = settings.rollout_steps // settings.minibatches
    collecting = [_forward(settings.num_envs, a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
    improving = [
        p for a, b in zip(sizes, sizes[1:], strict=False) for p in (_forward(rows, a, b), *_backward(rows, a, b))
    ]
    improving.pop(2)  # the gradient of the inputs is not needed
    start = process_time()
    for _ in range(repetitions):
        for _ in range(settings.n_steps):
            _multiply(collecting)
        for _ in range(settings.n_epochs * settings.minibatches):
            _multiply(improving)
    return (process_time() - start) / repetitions


Product = tuple[Any, Any, Any]


def _forward(rows: int, inputs: int, outputs: int) -> Product:
    return _product(np.ones((rows, inputs), np.float32), np.ones((inputs, outputs), np.float32))


def _backward(rows: int, inputs: int, outputs: int) -> tuple[Product, Product]:
    """Return the products for the gradients of the weights and of the inputs of a layer."""
    error, weights = np.ones((rows, outputs), np.float32), np.ones((inputs, outputs), np.float32)
    return _product(np.ones((rows, inputs), np.float32).T, error), _product(error, weights.T)


def _product(left: Any, right: Any) -> Product:
    return left, right, np.empty((left.shape[0], right.shape[1]), np.float32)


def _multiply(products: list[Product]) -> None:
    for left, right, out in products:
        np.matmul(left, right, out=out)
