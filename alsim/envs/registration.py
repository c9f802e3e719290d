"""The environment's entry in Gymnasium's registry, and a check of Gymnasium's version."""

from __future__ import annotations

import warnings

import gymnasium

from alsim.envs.specs import JsonEnvSpec
from alsim.errors import AlsimError

ENVIRONMENT_ID = "alsim/AdaptiveLearning-v0"
"""Name and version. The version changes with any rule, with the default bank, and with any returned bit (S11.5)."""

GYMNASIUM = "gymnasium>=1.1,<2"
"""Versions of Gymnasium that alsim requires, as in pyproject.toml. Vector environments need `AutoresetMode` of 1.1."""


class GymnasiumVersionError(ImportError, AlsimError):
    """Exception for an installed version of Gymnasium that is too old."""


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


def check_gymnasium(*, vector: bool) -> None:
    """Check the installed version of Gymnasium: d3rlpy, for example, installs 1.0.0 over a newer one.

    vector  the vector environment is to be created: an old version is an error; otherwise it is a warning
    """
    if hasattr(gymnasium.vector, "AutoresetMode"):
        return
    cure = (
        f"{gymnasium.__version__} is installed: run pip install '{GYMNASIUM}', in an environment without packages "
        "that pin an older version, such as d3rlpy"
    )
    if vector:
        raise GymnasiumVersionError(f"vector environments of alsim need {GYMNASIUM}; {cure}", name="gymnasium")
    warnings.warn(f"alsim needs {GYMNASIUM}, and only single environments work without it; {cure}", stacklevel=4)
