"""The interface of training backends, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from alsim.policies.network import NetworkPolicy
from alsim.training.lanes import Episodes
from alsim.training.settings import Backend

if TYPE_CHECKING:
    from alsim.training.plan import TrainingPlan

Bytes = dict[str, bytes]
"""File contents by name."""


class Trainer(Protocol):
    """A training in memory."""

    packages: tuple[str, ...]
    """Distributions whose versions determine the result, for the report."""
    unreadable: tuple[type[Exception], ...]
    """Exceptions that an invalid state may raise."""

    @property
    def steps(self) -> int:
        """Number of interactions so far."""

    def learn(self, before_rollout: Callable[[], object]) -> None:
        """Train to the end, and call a function before each rollout."""

    def take_episodes(self) -> Episodes:
        """Return the episodes that ended since the last call."""

    def policy(self) -> NetworkPolicy:
        """Return the current policy."""

    def has_diverged(self) -> bool:
        """Return whether a weight is NaN or implausibly large."""

    def parameters(self) -> bytes:
        """Return the parameters of the networks."""

    def set_parameters(self, content: bytes) -> None:
        """Set the parameters, from `parameters`. Raises one of `unreadable`."""

    def state(self) -> Bytes:
        """Return the state for a checkpoint."""

    def set_state(self, files: Mapping[str, bytes]) -> None:
        """Restore a state. Raises one of `unreadable`."""

    def models(self) -> Bytes:
        """Return further files of a finished training, for other programs."""

    def close(self) -> None:
        """Release the environment."""


HOMES: dict[Backend, tuple[str, str]] = {
    "alsim": ("alsim.training.native", "NativeTrainer"),
    "sb3": ("alsim.training.sb3", "SB3Trainer"),
}
"""Module and class of the trainer of each backend."""


def trainer_class(backend: Backend) -> Callable[[TrainingPlan, int], Trainer]:
    """Return the class of trainers of a backend; its arguments are a plan and the number of interruptions so far.

    Raises MissingExtra if the backend needs a package that is not installed.
    """
    module, name = HOMES[backend]
    chosen: Callable[[TrainingPlan, int], Trainer] = getattr(import_module(module), name)
    return chosen
