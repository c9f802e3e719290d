"""What is asked of every single call: types, shapes and dtypes, and the layout of the infos."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from alsim.testing.comparing import CheckError, arrays_of, require
from alsim.testing.driving import Call, Subject


def sound_call(s: Subject, call: Call) -> None:
    """Types, shapes and dtypes of what one call returned."""
    space = s.env.observation_space
    require(isinstance(call.infos, dict), f"the infos of {call.where} are a dict; got {type(call.infos)}")
    for name, array in arrays_of(call.observations, "observations"):
        require(array.flags.c_contiguous, f"{name} of {call.where} are C-contiguous; got strides {array.strides}")
    if isinstance(space, gymnasium.spaces.Box):
        _sound_array("observations", call, space.shape, space.dtype)
    require(call.observations in space, f"the observations of {call.where} are in observation_space; they are not")
    if not call.is_step:
        return
    for name, dtype in (("rewards", np.floating), ("terminated", np.bool_), ("truncated", np.bool_)):
        _sound_array(name, call, (s.lanes,), dtype)
    both = call.terminated & call.truncated
    rule = "a lane is terminated or truncated, not both"
    require(not (s.exclusive_flags and both.any()), f"{rule}; lane {np.argmax(both)} in {call.where} is both")


def _sound_array(name: str, call: Call, shape: tuple[int, ...], dtype: Any) -> None:
    array = getattr(call, name)
    require(isinstance(array, np.ndarray), f"{name} of {call.where} are a NumPy array; got {type(array)}")
    require(array.shape == shape, f"{name} of {call.where} have shape {shape}; got {array.shape}")
    wanted = getattr(dtype, "__name__", dtype)
    require(np.issubdtype(array.dtype, dtype), f"{name} of {call.where} have dtype {wanted}; got {array.dtype}")


def sound_infos(infos: dict[str, Any], n: int, where: str) -> None:
    """Arrays (N, ...) or dicts of such, each beside its mask."""
    for key, value in infos.items():
        require(isinstance(key, str), f"keys of {where} are strings; got {key!r}")
        if key.startswith("_"):
            require(key[1:] in infos, f"{where} hold the mask {key!r} of a key that is not there")
            continue
        mask = infos.get(f"_{key}")
        require(mask is not None, f"{where} hold {key!r} without its mask '_{key}'")
        if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (n,)):
            raise CheckError(f"the mask '_{key}' of {where} is a bool array ({n},); got {mask!r}")
        if isinstance(value, dict):
            sound_infos(value, n, f"{where} under {key!r}")
        elif not (isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == n):
            raise CheckError(f"{key!r} of {where} is an array ({n}, ...) or a dict of such; got {value!r}")
