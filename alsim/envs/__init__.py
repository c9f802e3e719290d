"""Gymnasium environments of the simulator, and those of other libraries. Each is imported on first use."""

from typing import TYPE_CHECKING, Any

from alsim.envs.registration import check_gymnasium
from alsim.utils.lazy import attach

if TYPE_CHECKING:
    from alsim.envs.single import AdaptiveLearningEnv
    from alsim.envs.vector import AdaptiveLearningVectorEnv

__all__ = ["AdaptiveLearningEnv", "AdaptiveLearningVectorEnv"]

_HOMES = {"AdaptiveLearningEnv": "alsim.envs.single", "AdaptiveLearningVectorEnv": "alsim.envs.vector"}

_MODULES = ("puffer", "sb3", "tianshou")
"""Environments of other libraries, which need them."""

_load, __dir__ = attach(__name__, _HOMES, submodules=_MODULES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        check_gymnasium(vector=name == "AdaptiveLearningVectorEnv")
    return _load(name)
