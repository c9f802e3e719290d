"""PPO of RLlib with action masks: the mask is part of the observation, where RLlib's masking module reads it."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

import alsim

try:
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
    from ray.tune.registry import register_env
except ModuleNotFoundError:
    raise SystemExit(
        "rllib_masked_ppo.py needs RLlib, which is not installed: pip install torch 'ray[rllib]'"
    ) from None


class MaskInObservation(gym.Wrapper):
    """Moves the mask from the infos to the observation, under the keys that RLlib expects."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        masks = Box(0.0, 1.0, (int(env.action_space.n),), np.float32)
        self.observation_space = Dict({"action_mask": masks, "observations": env.observation_space})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info), info

    def step(self, action: Any) -> Any:
        observation, *results, info = self.env.step(action)
        return self._with_mask(observation, info), *results, info

    def _with_mask(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        return {"action_mask": info["action_mask"].astype(np.float32), "observations": observation}


def make_env(settings: dict[str, Any]) -> gym.Env:
    """Return an environment with masks for RLlib; the settings are its arguments."""
    return MaskInObservation(alsim.AdaptiveLearningEnv(info="none", mask_in_info=True, **settings))


def ppo(settings: dict[str, Any], **training: Any) -> PPOConfig:
    """Return a configuration of PPO that chooses allowed actions only."""
    register_env("alsim-masked", make_env)
    module = RLModuleSpec(module_class=ActionMaskingTorchRLModule, model_config={"head_fcnet_hiddens": [64]})
    return (
        PPOConfig()
        .environment("alsim-masked", env_config=settings)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4)
        .rl_module(rl_module_spec=module)
        .training(**training)
    )
