"""Trainings by Stable-Baselines3's PPO, as in `alsim train ppo --backend sb3`."""

from __future__ import annotations

from typing import Any

import torch

from alsim.config import Config
from alsim.envs.sb3 import make
from alsim.training.actors import policy_of
from alsim.training.sb3 import TrainingCallback, new_model
from alsim.training.settings import SB3PPO
from benchmarks.training_time.clock import Clock, Profile

ROLLOUTS = 20
"""Number of rollouts of a profile."""


def train(settings: SB3PPO, seed: int, config: Config, clock: Clock) -> None:
    """Train once."""
    clock.start()
    model = _model(settings, seed, config)
    callback = TrainingCallback(_ignore, lambda: clock.read(model.num_timesteps, lambda: policy_of(model)))
    model.learn(settings.total_steps, callback=callback, log_interval=None)
    clock.read(model.num_timesteps, lambda: policy_of(model))


def prepare(settings: SB3PPO, config: Config) -> None:
    """Compile the environment, and warm up."""
    _model(settings, 0, config).learn(settings.rollout_steps, log_interval=None)


def shares(settings: SB3PPO, config: Config) -> dict[str, float]:
    """Return the shares of the parts of a training."""
    profile, model = Profile(), _model(settings, 0, config)
    profile.watch(model.env, "step_wait", "environment")
    profile.watch(model, "collect_rollouts", "collection")
    profile.watch(model, "train", "update")
    multinomial = torch.multinomial
    profile.watch(torch, "multinomial", "`torch.multinomial`")
    try:
        with profile.part("training"):
            steps = max(1, ROLLOUTS * 4096 // settings.rollout_steps) * settings.rollout_steps
            model.learn(steps, callback=TrainingCallback(_ignore, lambda: None), log_interval=None)
    finally:
        torch.multinomial = multinomial
    found = profile.shares("training")
    collection = found.pop("collection") - found["environment"] - found["`torch.multinomial`"]
    return {**found, "rest of the collection": collection}


def _model(settings: SB3PPO, seed: int, config: Config) -> Any:
    torch.set_num_threads(1)
    return new_model(settings, make(settings.num_envs, config=config, seed=seed), seed, seed)


def _ignore(*episode: object) -> None:
    """Do nothing with a finished episode."""
