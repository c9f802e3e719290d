"""Training of policies with Stable-Baselines3 and evaluation on held-out learners. Names are imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsim.training.actors import policy_of
    from alsim.training.curve import read_curve
    from alsim.training.run import Training, train
    from alsim.training.settings import DQN, PPO, TrainingError

_HOMES = {
    "DQN": "alsim.training.settings",
    "PPO": "alsim.training.settings",
    "Training": "alsim.training.run",
    "TrainingError": "alsim.training.settings",
    "policy_of": "alsim.training.actors",
    "read_curve": "alsim.training.curve",
    "train": "alsim.training.run",
}

__all__ = ["DQN", "PPO", "Training", "TrainingError", "policy_of", "read_curve", "train"]


def __getattr__(name: str) -> Any:
    """Import a name on first use."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'alsim.training' has no attribute {name!r}")
