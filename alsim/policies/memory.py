"""Memory of policies: calls of policies with and without a state of each lane, and the arrays of a state."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.policies.base import Policy, PolicyDraws, Transitions, View, check_observation, has_memory
from alsim.policies.nested import needs_truth
from alsim.types import describe

ARRAYS = "an array, or a tuple, list, dict, NamedTuple or dataclass of arrays"


def start(policy: Policy, lanes: int) -> Any:
    """Return the state of `lanes` lanes at the start of an episode; None for a policy without memory.

    Raises AlsimError, which names the policy, unless the state consists of arrays whose first axis is `lanes`.
    """
    if not has_memory(policy):
        return None
    return _checked(policy, policy.start(lanes), lanes, "start")  # type: ignore[attr-defined]  # see has_memory


def act(policy: Policy, view: View, state: Any, draws: PolicyDraws | None) -> Any:
    """Return what `act` of a policy returns. The truth is passed only to a policy that needs it."""
    view = _permitted(policy, view)
    return policy.act(view, state, draws) if has_memory(policy) else policy.act(view, draws)


def probabilities(policy: Any, view: View, state: Any, draws: PolicyDraws | None) -> Any:
    """Return what `probabilities` of a policy returns. The truth is passed only to a policy that needs it."""
    view = _permitted(policy, view)
    if has_memory(policy):
        return policy.probabilities(view, state, draws)
    return policy.probabilities(view, draws) if takes(policy.probabilities, 2) else policy.probabilities(view)


def learn(policy: Policy, state: Any, transitions: Transitions) -> Any:
    """Return the state after an interaction; None for a policy without memory.

    Raises AlsimError, which names the policy, for a new state of another form than the previous one.
    """
    if not has_memory(policy):
        return None
    after = policy.learn(state, transitions)  # type: ignore[attr-defined]  # see has_memory
    if after is None or after is state:
        return state
    previous, found = dict(arrays_of(state)), dict(arrays_of(_checked(policy, after, _lanes(state), "learn")))
    if {name: array.shape for name, array in previous.items()} != {name: array.shape for name, array in found.items()}:
        raise AlsimError(
            f"the method learn of the policy {policy.name!r} returned a state with arrays of other names or shapes "
            "than those of start; return the same arrays, or change them in place and return nothing"
        )
    return after


def state_and_draws(policy: Policy, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the state and the draws from the arguments of a policy's method after the view; None if left out.

    Raises InputTypeError for another number of arguments than the policy takes.
    """
    names = ("state", "draws") if has_memory(policy) else ("draws",)
    least = len(names) - 1  # probabilities may be called without draws
    if not least <= len(arguments) <= len(names):
        raise InputTypeError(
            f"the policy {policy.name!r} needs {' and '.join(names)} after the view; got {len(arguments)} arguments; "
            f"pass view, {', '.join(names)}"
        )
    state = arguments[0] if has_memory(policy) else None
    return state, arguments[least] if len(arguments) > least else None


def lanes_of(state: Any, lanes: slice | NDArray[Any]) -> Any:
    """Return copies of the arrays of a state, for some lanes."""
    return map_arrays(lambda array: array[lanes].copy(), state)


def arrays_of(state: Any, name: str = "state") -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of a state, with a name for each that tells its place in the state, as in "state.wrong[0]"."""
    if isinstance(state, np.ndarray):
        yield name, state
    else:
        for key, part in _parts(state):
            is_plain = isinstance(key, str) and key.isidentifier()
            yield from arrays_of(part, f"{name}.{key}" if is_plain else f"{name}[{key!r}]")


def map_arrays(change: Callable[[NDArray[Any]], NDArray[Any]], state: Any) -> Any:
    """Return a state of the same form, with `change(array)` in place of each array."""
    if state is None:
        return None
    if isinstance(state, np.ndarray):
        return change(state)
    values = {key: map_arrays(change, part) for key, part in _parts(state)}
    if isinstance(state, MutableMapping):
        mapping = copy(state)  # no constructor, which may have other arguments, as that of a defaultdict
        mapping.update(values)
        return mapping
    if isinstance(state, Mapping):
        return type(state)(values)  # type: ignore[call-arg]  # a class with the constructor of a dict
    if dataclasses.is_dataclass(state):
        changed = copy(state)  # no constructor, which may not take all fields, or change them
        for field, value in values.items():
            object.__setattr__(changed, field, value)  # the class may be frozen
        return changed
    if hasattr(state, "_make"):
        return state._make(values.values())
    return type(state)(values.values())


def takes(method: Callable[..., Any], count: int) -> bool:
    """Return whether a method can be called with `count` positional arguments."""
    from inspect import signature

    try:
        signature(method).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # compiled code without a signature
        return True
    return True


def _permitted(policy: Any, view: View) -> View:
    """Return a view without the truth, unless the policy needs it.

    Raises AlsimError if the policy reads another kind of observation.
    """
    check_observation(policy, view.kind)
    return view if view.truth is None or needs_truth(policy) else dataclasses.replace(view, truth=None)


def _parts(state: Any) -> list[tuple[Any, Any]]:
    """Return the names and the parts of a state. Raises InputTypeError for an object of another kind."""
    if isinstance(state, Mapping):
        return list(state.items())
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return [(field.name, getattr(state, field.name)) for field in dataclasses.fields(state)]
    if isinstance(state, tuple):
        return list(zip(getattr(state, "_fields", range(len(state))), state, strict=True))
    if isinstance(state, list):
        return list(enumerate(state))
    raise InputTypeError(f"a state must be {ARRAYS}; got {describe(state)}; put its numbers into arrays")


def _checked(policy: Policy, state: Any, lanes: int, method: str) -> Any:
    """Return a state that a method of a policy returned. Raises AlsimError unless it has arrays of `lanes` lanes."""
    subject = f"the method {method} of the policy {policy.name!r}"
    try:
        arrays = list(arrays_of(state))
    except InputTypeError:
        raise InputTypeError(f"{subject} must return {ARRAYS}; got {describe(state)}") from None
    for name, array in arrays:
        if array.ndim == 0 or len(array) != lanes:
            raise AlsimError(
                f"{subject} must return arrays whose first axis has {lanes} lanes; got {name} of shape {array.shape}; "
                "make each array with n entries along its first axis"
            )
        if array.dtype.hasobject:
            raise InputTypeError(
                f"{subject} must return arrays of numbers; got {name} of type object; use a type of numbers"
            )
    return state


def _lanes(state: Any) -> int:
    """Return the number of lanes of a state."""
    return next((len(array) for _, array in arrays_of(state)), 0)


__all__ = ["act", "arrays_of", "lanes_of", "learn", "map_arrays", "probabilities", "start", "state_and_draws", "takes"]
