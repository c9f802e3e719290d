"""The training loops that are compared, with their settings."""

from __future__ import annotations

from typing import Any, NamedTuple

from alsim.training.settings import DQN, PPO, SB3PPO, Settings

SEEDS = range(100, 110)
"""Seeds of the measurements. They were not used to choose settings."""
COMMON: dict[str, Any] = {
    "steps": 1_000_000,
    "num_envs": 512,
    "n_steps": 8,
    "minibatches": 4,
    "n_epochs": 2,
    "learning_rate": 3e-3,
    "final_learning_rate": 3e-4,
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "clip_range": 0.2,
    "ent_coef": 0.003,
    "vf_coef": 1.0,
    "max_grad_norm": 0.5,
    "net_arch": (64, 64),
    "activation": "tanh",
}
"""The common settings of several loops."""
PREVIOUS: dict[str, Any] = {
    "steps": 4_000_000,
    "num_envs": 256,
    "n_steps": 128,
    "minibatches": 8,
    "n_epochs": 4,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-4,
    "gamma": 0.95,
    "gae_lambda": 0.95,
    "vf_coef": 0.5,
}
"""Settings for rollouts that are eight times as long."""


class Contender(NamedTuple):
    """A training loop with its settings."""

    label: str
    """Name in tables and figures."""
    module: str
    """Module of this package that trains, see `by_alsim`."""
    settings: Settings
    part: str
    """Environment in which it is measured: "alsim", "torch" or "jax"."""
    seeds: int = len(SEEDS)
    """Number of seeds, at most."""
    reward: str = "specified"
    is_drawn: bool = False
    """True if the figure shows it."""


CONTENDERS = {
    "alsim": Contender("alsim, defaults of PPO", "by_alsim", PPO(), "alsim", is_drawn=True),
    "alsim-common": Contender("alsim, common settings", "by_alsim", PPO(**COMMON), "alsim"),
    "alsim-dqn": Contender("alsim, defaults of DQN", "by_alsim", DQN(), "alsim", is_drawn=True),
    "jax": Contender("JAX, alsim's defaults", "by_jax", PPO(), "jax", is_drawn=True),
    "jax-common": Contender("JAX, common settings", "by_jax", PPO(**COMMON), "jax"),
    "torch": Contender("PyTorch in one file, alsim's defaults", "by_torch", PPO(), "torch", is_drawn=True),
    "torch-common": Contender("PyTorch in one file, common settings", "by_torch", PPO(**COMMON), "torch"),
    "sb3": Contender("Stable-Baselines3, defaults of `--backend sb3`", "by_sb3", SB3PPO(), "torch", is_drawn=True),
    "sb3-long": Contender(
        "Stable-Baselines3, long rollouts", "by_sb3", SB3PPO(**PREVIOUS), "torch", seeds=3, is_drawn=True
    ),
    "alsim-learning": Contender(
        "alsim, reward `learning`", "by_alsim", PPO(steps=1_000_000), "alsim", reward="learning"
    ),
}
PARTS = ("alsim", "torch", "jax")
