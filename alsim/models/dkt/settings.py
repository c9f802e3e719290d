"""Settings of a fit, and the schedule of learning rate and early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from alsim.models.base import ModelError

INITIAL, EPOCH = range(2)
"""Random streams: one for the initial weights, and one per epoch for the order of students and dropout."""

DECAY = 0.5
"""Factor of the learning rate after each epoch whose loss is not the lowest so far."""

MAX_WEIGHTS = 10**8
"""Maximum number of weights of a network; as float32 they take 400 MB."""


class Settings(NamedTuple):
    """Hyperparameters of a fit, described in `fit`. With the responses and the device, they determine the result."""

    hidden: int = 128
    embedding: int = 64
    dropout: float = 0.5
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 2e-3
    patience: int = 3
    validation: float = 0.1
    seed: int = 0


class Epoch(NamedTuple):
    """Losses of one pass over the training students, nats per response.

    loss             mean over the training responses, with dropout, while the weights changed
    validation_loss  mean over the responses of the held-out students; None if there are none
    """

    loss: float
    validation_loss: float | None

    @property
    def monitored(self) -> float:
        """The loss that early stopping monitors: the validation loss or, without it, the training loss."""
        return self.loss if self.validation_loss is None else self.validation_loss


class Schedule(NamedTuple):
    """The state of early stopping.

    best           number of the epoch, from 0, with the lowest monitored loss; -1 before the first epoch
    waited         number of epochs after the best one
    learning_rate  learning rate of the next epoch
    """

    best: int
    waited: int
    learning_rate: float


def schedule(epochs: Sequence[Epoch], learning_rate: float) -> Schedule:
    """Return the state of early stopping after some epochs.

    epochs         losses of the epochs so far
    learning_rate  learning rate of the first epoch
    """
    best, worse = -1, 0
    for k, epoch in enumerate(epochs):
        if best < 0 or epoch.monitored < epochs[best].monitored:
            best = k
        else:
            worse += 1
    return Schedule(best, len(epochs) - 1 - best, learning_rate * DECAY**worse)


def read_settings(**values: Any) -> Settings:
    """Return settings from the values of all fields. Raises ModelError for an invalid value."""
    for name in ("hidden", "embedding", "epochs", "batch_size", "patience"):
        values[name] = _integer(name, values[name], 1)
    values["seed"] = _integer("seed", values["seed"], 0)
    for name in ("dropout", "validation"):
        values[name] = _number(name, values[name])
        if not 0 <= values[name] < 1:
            raise ModelError(f"{name} must be a number in [0, 1); got {values[name]!r}")
    values["learning_rate"] = _number("learning_rate", values["learning_rate"])
    if not 0 < values["learning_rate"] <= 1:  # Adam moves each weight by about this much per step
        raise ModelError(f"learning_rate must be a number in (0, 1]; got {values['learning_rate']!r}")
    return Settings(**values)


def _integer(name: str, value: Any, least: int) -> int:
    """Return a setting as an int. Raises ModelError unless it is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ModelError(f"{name} must be an integer of at least {least}; got {value!r}")
    return int(value)


def _number(name: str, value: Any) -> float:
    """Return a setting as a float. Raises ModelError unless it is a number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ModelError(f"{name} must be a number; got {value!r}")
    return float(value)
