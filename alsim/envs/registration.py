"""The environment's entry in Gymnasium's registry."""

from __future__ import annotations

import gymnasium

from alsim.envs.specs import JsonEnvSpec

ENVIRONMENT_ID = "alsim/AdaptiveLearning-v0"
"""Name and version. The version changes with any rule, with the default bank, and with any returned bit (S11.5)."""


def register() -> None:
    """Register the environment, unless it is registered already.

    It is registered without `max_episode_steps`, because the TimeLimit wrapper would set both flags (clause S7.2).
    """
    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENVIRONMENT_ID,
            entry_point="alsim.envs:AdaptiveLearningEnv",
            vector_entry_point="alsim.envs:AdaptiveLearningVectorEnv",
        )
        # Gymnasium copies this entry for vector environments, also for those of its own classes.
        gymnasium.registry[ENVIRONMENT_ID] = JsonEnvSpec.of(gymnasium.registry[ENVIRONMENT_ID])
