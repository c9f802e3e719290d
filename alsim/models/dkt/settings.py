"""Settings of a fit, and what follows from them as training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from alsim.models.base import ModelError

INITIAL, EPOCH = range(2)
"""What randomness is for: first weights, and each epoch's order and dropout have streams of their own."""
DECAY = 0.5
"""The learning rate's factor after each epoch that is no better than the best before it."""
MOST_WEIGHTS = 10**8
"""Of a network: 400 MB."""


class Settings(NamedTuple):
    """All that a fit depends on, beside the responses and the device."""

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
    """What one pass over the training students left; nats a response.

    loss             mean over the training responses, with dropout, while the weights changed
    validation_loss  mean over the held-out students' responses; None where nobody is held out
    """

    loss: float
    validation_loss: float | None

    @property
    def watched(self) -> float:
        """What early stopping goes by."""
        return self.loss if self.validation_loss is None else self.validation_loss


class Schedule(NamedTuple):
    """Where a training stands.

    best           the epoch, from 0, with the least watched loss; -1 before the first
    waited         epochs since then
    learning_rate  of the next epoch
    """

    best: int
    waited: int
    learning_rate: float


def schedule(epochs: Sequence[Epoch], learning_rate: float) -> Schedule:
    """Return where a training stands after these epochs."""
    best, worse = -1, 0
    for k, epoch in enumerate(epochs):
        if best < 0 or epoch.watched < epochs[best].watched:
            best = k
        else:
            worse += 1
    return Schedule(best, len(epochs) - 1 - best, learning_rate * DECAY**worse)


def read_settings(**given: Any) -> Settings:
    """Return settings. Raises ModelError for one that cannot be."""
    for name in ("hidden", "embedding", "epochs", "batch_size", "patience"):
        given[name] = _integer(name, given[name], 1)
    given["seed"] = _integer("seed", given["seed"], 0)
    for name in ("dropout", "validation"):
        given[name] = _number(name, given[name])
        if not 0 <= given[name] < 1:
            raise ModelError(f"{name} is a number in [0, 1); got {given[name]!r}")
    given["learning_rate"] = _number("learning_rate", given["learning_rate"])
    if not 0 < given["learning_rate"] <= 1:  # which is the length of a step of Adam's, for each weight
        raise ModelError(f"learning_rate is a number in (0, 1]; got {given['learning_rate']!r}")
    return Settings(**given)


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ModelError(f"{name} is an integer of at least {least}; got {value!r}")
    return int(value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ModelError(f"{name} is a number; got {value!r}")
    return float(value)
