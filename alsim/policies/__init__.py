"""Teaching policies, one per file. A policy acts on a batch: `act(view, draws) -> actions, propensities`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alsim.errors import AlsimError, InputTypeError
from alsim.policies.base import Policy, PolicyDraws, View
from alsim.policies.compiled import RulePolicy, is_rule
from alsim.policies.network import Network, NetworkPolicy, PolicyError, is_saved
from alsim.policies.rules import Rules
from alsim.policies.uniform import Uniform

POLICIES: dict[str, Callable[[], Policy]] = {"uniform": Uniform, "rules": Rules}
"""Registered policies by name: classes, or functions without arguments, that return a policy when they are called."""


def register_policy(name: str, make: Callable[[], Policy]) -> None:
    """Register a policy under a name, which `make_policy` and rollouts then accept.

    name  unique name, not empty
    make  class of the policy, or function that returns a policy; it is called without arguments

    Raises ValueError if the name is in use, and TypeError for arguments of another type.
    """
    if not isinstance(name, str) or not name or not callable(make):
        raise InputTypeError(
            f"register_policy needs a name, not empty, and a class or function; got {name!r} and {make!r}"
        )
    if name in POLICIES:
        raise AlsimError(
            f"the policy {name!r} is already registered; registered are {', '.join(POLICIES)}; use another name"
        )
    POLICIES[name] = make


def make_policy(policy: str | Path | Policy) -> Policy:
    """Return the policy with a name, the policy saved in a directory, or the policy itself.

    Raises ValueError for an unknown name or an invalid saved policy, and TypeError for other objects.
    """
    if isinstance(policy, str) and policy in POLICIES:
        return POLICIES[policy]()
    if isinstance(policy, str | Path):
        if is_saved(policy):
            return NetworkPolicy.load(policy)
        raise AlsimError(
            f"unknown policy {str(policy)!r}; known are {', '.join(POLICIES)}, and directories with a saved policy; "
            "alsim.register_policy adds a name"
        )
    if isinstance(policy, type) or not isinstance(policy, Policy):
        raise InputTypeError(f"a policy must be an instance with a name and a method act(view, draws); got {policy!r}")
    if not isinstance(policy.name, str) or not policy.name:
        raise InputTypeError(f"the name of a policy must be a string, not empty; got {policy.name!r}")
    return policy


__all__ = [
    "POLICIES",
    "Network",
    "NetworkPolicy",
    "Policy",
    "PolicyDraws",
    "PolicyError",
    "RulePolicy",
    "View",
    "is_rule",
    "make_policy",
    "register_policy",
]
