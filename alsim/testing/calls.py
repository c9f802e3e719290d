"""Checks of every call: types, shapes and dtypes of the results, and the layout of the infos."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from alsim.testing.comparison import CheckError, arrays_of, require
from alsim.testing.driver import Call, Subject


def check_call(s: Subject, call: Call) -> None:
    """Check types, shapes and dtypes of the results of one call. Raises CheckError."""
    space = s.env.observation_space
    require(isinstance(call.infos, dict), f"the infos of {call.where} must be a dict; got {type(call.infos)}")
    for name, array in arrays_of(call.observations, "observations"):
        require(array.flags.c_contiguous, f"{name} of {call.where} must be C-contiguous; got strides {array.strides}")
    if isinstance(space, gymnasium.spaces.Box):
        _check_array("observations", call, space.shape, space.dtype)
    require(call.observations in space, f"the observations of {call.where} must be in observation_space; they are not")
    if not call.is_step:
        return
    for name, dtype in (("rewards", np.floating), ("terminated", np.bool_), ("truncated", np.bool_)):
        _check_array(name, call, (s.lanes,), dtype)
    both = call.terminated & call.truncated
    rule = "a lane must not be both terminated and truncated"
    require(not (s.exclusive_flags and both.any()), f"{rule}; lane {np.argmax(both)} in {call.where} is both")


def _check_array(name: str, call: Call, shape: tuple[int, ...], dtype: Any) -> None:
    array = getattr(call, name)
    require(isinstance(array, np.ndarray), f"{name} of {call.where} must be a NumPy array; got {type(array)}")
    require(array.shape == shape, f"{name} of {call.where} must have shape {shape}; got {array.shape}")
    expected = getattr(dtype, "__name__", dtype)
    require(np.issubdtype(array.dtype, dtype), f"{name} of {call.where} must have dtype {expected}; got {array.dtype}")


def check_layout(infos: dict[str, Any], n: int, where: str) -> None:
    """Check that infos are arrays (n, ...) or dicts of such arrays, each with a mask (n,). Raises CheckError.

    where  name of the infos in error messages
    """
    for key, value in infos.items():
        require(isinstance(key, str), f"keys of {where} must be strings; got {key!r}")
        if key.startswith("_"):
            require(key[1:] in infos, f"{where} must not have a mask without its key; got {key!r} without {key[1:]!r}")
            continue
        mask = infos.get(f"_{key}")
        require(mask is not None, f"{where} must have a mask for every key; got {key!r} without '_{key}'")
        if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (n,)):
            raise CheckError(f"the mask '_{key}' of {where} must be a bool array ({n},); got {mask!r}")
        if isinstance(value, dict):
            check_layout(value, n, f"{where} under {key!r}")
        elif not (isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == n):
            raise CheckError(f"{key!r} of {where} must be an array ({n}, ...) or a dict of such arrays; got {value!r}")
