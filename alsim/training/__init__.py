"""Training of policies with Stable-Baselines3, and evaluation on held-out learners. Imports happen on first use."""

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach

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

__getattr__, __dir__ = attach(__name__, _HOMES)
