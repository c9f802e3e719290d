"""The environment's entry in Gymnasium's registry."""

from __future__ import annotations

import gymnasium

ENVIRONMENT_ID = "alsim/AdaptiveLearning-v0"
"""Its version changes with any bit of the stream, a rule, or the default bank (clause S11.5)."""


def register() -> None:
    """Register the environment, once. Without `max_episode_steps`: TimeLimit would set both flags (clause S7.2)."""
    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENVIRONMENT_ID,
            entry_point="alsim.envs:AdaptiveLearningEnv",
            vector_entry_point="alsim.envs:AdaptiveLearningVectorEnv",
        )
