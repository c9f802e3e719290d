"""Training of policies, and evaluation on held-out learners. Imports happen on first use."""

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach

if TYPE_CHECKING:
    from alsim.training.actors import policy_of
    from alsim.training.agents import Agent, Update, dqn, ppo
    from alsim.training.curve import read_curve
    from alsim.training.run import Training, train
    from alsim.training.seeds import SeedsError, SeedsMoment, SeedTrainings, train_seeds
    from alsim.training.settings import DQN, PPO, SB3DQN, SB3PPO, TrainingError

_HOMES = {
    "Agent": "alsim.training.agents",
    "DQN": "alsim.training.settings",
    "PPO": "alsim.training.settings",
    "SB3DQN": "alsim.training.settings",
    "SB3PPO": "alsim.training.settings",
    "SeedTrainings": "alsim.training.seeds",
    "SeedsError": "alsim.training.seeds",
    "SeedsMoment": "alsim.training.seeds",
    "Training": "alsim.training.run",
    "TrainingError": "alsim.training.settings",
    "Update": "alsim.training.agents",
    "dqn": "alsim.training.agents",
    "policy_of": "alsim.training.actors",
    "ppo": "alsim.training.agents",
    "read_curve": "alsim.training.curve",
    "train": "alsim.training.run",
    "train_seeds": "alsim.training.seeds",
}

__all__ = [
    "DQN",
    "PPO",
    "SB3DQN",
    "SB3PPO",
    "Agent",
    "SeedTrainings",
    "SeedsError",
    "SeedsMoment",
    "Training",
    "TrainingError",
    "Update",
    "dqn",
    "policy_of",
    "ppo",
    "read_curve",
    "train",
    "train_seeds",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
