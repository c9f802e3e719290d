"""Gymnasium environments over the simulator: no formulas here. The classes load when first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsim.envs.single import AdaptiveLearningEnv
    from alsim.envs.vector import AdaptiveLearningVectorEnv

__all__ = ["AdaptiveLearningEnv", "AdaptiveLearningVectorEnv"]

_HOMES = {"AdaptiveLearningEnv": "alsim.envs.single", "AdaptiveLearningVectorEnv": "alsim.envs.vector"}


def __getattr__(name: str) -> Any:
    """Load a class from its module when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'alsim.envs' has no attribute {name!r}")
