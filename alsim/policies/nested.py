"""Policies within policies: what identifies a policy includes the policies that it consults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from alsim.errors import InputTypeError
from alsim.policies.base import Policy

ARGUMENTS = "_policy_arguments"
"""Attribute that keeps the policies in the name of a policy, unless its class keeps them in attributes of its own."""


def nested_policies(policy: Policy) -> list[Policy]:
    """Return the policies in the attributes of a policy, and in their lists, tuples and dictionaries, in order."""
    slots = [name for cls in type(policy).__mro__ for name in _slots(cls)]
    values = [getattr(policy, name, None) for name in slots if name not in ("__dict__", "__weakref__")]
    return list(_policies_in([*values, *getattr(policy, "__dict__", {}).values()], frozenset({id(policy)})))


def with_nested(policy: Policy, describe: Callable[[Policy], dict[str, Any]]) -> dict[str, Any]:
    """Return the description of a policy, with a list "nested" of those of its nested policies if there are any."""

    def visit(policy: Policy, outer: frozenset[int]) -> dict[str, Any]:
        outer |= {id(policy)}  # a policy may refer to itself
        nested = [visit(inner, outer) for inner in nested_policies(policy) if id(inner) not in outer]
        return {**describe(policy), **({"nested": nested} if nested else {})}

    return visit(policy, frozenset())


def needs_truth(policy: Policy) -> bool:
    """Return whether a policy, or one that it consults, declares that it reads the true state of the learners."""

    def visit(policy: Policy, outer: frozenset[int]) -> bool:
        outer |= {id(policy)}  # a policy may refer to itself
        inner = (one for one in nested_policies(policy) if id(one) not in outer)
        return getattr(policy, "needs_truth", False) is True or any(visit(one, outer) for one in inner)

    return visit(policy, frozenset())


def keep_arguments(policy: Policy, arguments: Sequence[Policy]) -> None:
    """Keep the policies from which a policy was made, if its attributes do not. Raises InputTypeError."""
    found = set(map(id, [policy, *nested_policies(policy)]))
    if all(id(argument) in found for argument in arguments):
        return
    try:
        object.__setattr__(policy, ARGUMENTS, tuple(arguments))
    except AttributeError:  # __slots__
        raise InputTypeError(
            f"the policy {policy.name!r} must keep its policy arguments, which identify it; add an attribute for them "
            f"to {type(policy).__name__}"
        ) from None


def _slots(cls: type[Any]) -> Sequence[str]:
    """Return the names in `__slots__` of a class, as attributes of its instances."""
    slots = cls.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [f"_{cls.__name__.lstrip('_')}{n}" if n[:2] == "__" and n[-2:] != "__" else n for n in names]


def _policies_in(values: Sequence[Any], outer: frozenset[int]) -> Iterator[Policy]:
    """Yield the policies among values, and in the collections among them; `outer` guards against loops."""
    for value in values:
        if id(value) in outer or isinstance(value, type):
            continue
        if isinstance(value, list | tuple):
            yield from _policies_in(value, outer | {id(value)})
        elif isinstance(value, Mapping):
            yield from _policies_in(list(value.values()), outer | {id(value)})
        elif callable(getattr(type(value), "act", None)) and isinstance(getattr(value, "name", None), str):
            yield value


__all__ = ["keep_arguments", "needs_truth", "nested_policies", "with_nested"]
