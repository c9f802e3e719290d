"""Policies that read item parameters, a blueprint or a curriculum: their method `bind`, and its calls."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from alsim.errors import AlsimError, InputTypeError
from alsim.policies.base import Policy
from alsim.policies.nested import nested_policies
from alsim.types import Course, describe

DEFAULT_LOS = 30
"""Number of LOs for which a policy without a course has memory: that of the specification."""


@runtime_checkable
class BindablePolicy(Protocol):
    """A policy that reads the questions of a bank, the blueprint or the curriculum."""

    def bind(self, course: Course) -> Self:
        """Return a copy of the policy that reads `course`; the policy itself stays as it is."""
        ...


def bound(policy: Policy, course: Course) -> Policy:
    """Return a policy that knows a course: a copy if it, or a policy that it consults, has a method `bind`.

    Rollouts and datasets call this before `start`. A policy that consults others needs no `bind`: its copy has bound
    ones in its attributes, and in the lists, tuples and dictionaries there. Raises InputTypeError, which names the
    policy, if `bind` returns something else.
    """
    return _bound(policy, course, frozenset())


def capacity(course: Course | None) -> int:
    """Return the number of LOs for which a policy has memory."""
    return DEFAULT_LOS if course is None else course.num_los


def check_num_los(name: str, course: Course | None, num_los: int) -> None:
    """Raise AlsimError, which names the policy, for a view of another number of LOs than the course has.

    Without a course, a policy has memory for up to DEFAULT_LOS outcomes.
    """
    if num_los == capacity(course) or (course is None and num_los < DEFAULT_LOS):
        return
    bound_to = f"has memory for {DEFAULT_LOS} outcomes" if course is None else f"is bound to {course.num_los} outcomes"
    raise AlsimError(
        f"the policy {name!r} {bound_to}, but the view has {num_los}; call policy.bind with the course of this bank"
    )


def _bound(policy: Policy, course: Course, outer: frozenset[int]) -> Policy:
    """Return a bound copy of a policy, see `bound`; `outer` guards against loops."""
    if callable(bind := getattr(policy, "bind", None)):
        found = bind(course)
        if not callable(getattr(found, "act", None)) or isinstance(found, type):
            raise InputTypeError(
                f"the method bind of the policy {policy.name!r} must return a policy; got {describe(found)}; return a "
                "copy that knows the course"
            )
        return found  # type: ignore[no-any-return]  # it has a method act
    outer |= {id(policy)}
    if not any(_is_bindable(inner, outer) for inner in nested_policies(policy)):
        return policy
    twin = copy.copy(policy)
    for name, value in vars(policy).items():
        object.__setattr__(twin, name, _bound_value(value, course, outer))  # a dataclass may be frozen
    return twin


def _is_bindable(policy: Policy, outer: frozenset[int]) -> bool:
    """Return whether a policy, or one that it consults, has a method `bind`."""
    if callable(getattr(policy, "bind", None)):
        return True
    nested = [inner for inner in nested_policies(policy) if id(inner) not in outer]
    return any(_is_bindable(inner, outer | {id(policy)}) for inner in nested)


def _bound_value(value: Any, course: Course, outer: frozenset[int]) -> Any:
    """Return an attribute of a policy with bound copies of the policies in it."""
    if id(value) in outer or isinstance(value, type):
        return value
    if type(value) in (list, tuple):
        return type(value)(_bound_value(part, course, outer | {id(value)}) for part in value)
    if isinstance(value, Mapping) and type(value) is dict:
        return {key: _bound_value(part, course, outer | {id(value)}) for key, part in value.items()}
    if callable(getattr(type(value), "act", None)) and isinstance(getattr(value, "name", None), str):
        return _bound(value, course, outer)
    return value


__all__ = ["DEFAULT_LOS", "BindablePolicy", "bound", "capacity", "check_num_los"]
