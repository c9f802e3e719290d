"""Gymnasium environments over the simulator. They hold no formulas, and each class is imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsim.envs.single import AdaptiveLearningEnv
    from alsim.envs.vector import AdaptiveLearningVectorEnv

__all__ = ["AdaptiveLearningEnv", "AdaptiveLearningVectorEnv"]

_MODULES = {"AdaptiveLearningEnv": "alsim.envs.single", "AdaptiveLearningVectorEnv": "alsim.envs.vector"}


def __getattr__(name: str) -> Any:
    """Import a class on first use."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'alsim.envs' has no attribute {name!r}")
