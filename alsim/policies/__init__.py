"""Teaching policies, one a file, all batched: `act(view, draws) -> actions, propensities`."""

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
"""Every registered policy's class, or another maker without arguments, by name."""


def register_policy(name: str, make: Callable[[], Policy]) -> None:
    """Make a policy known under `name`. Raises ValueError if the name is taken."""
    if not isinstance(name, str) or not name or not callable(make):
        raise InputTypeError(f"a policy is registered by a name and a class or function; got {name!r} and {make!r}")
    if name in POLICIES:
        raise AlsimError(f"the policy {name!r} is registered already; known are {', '.join(POLICIES)}")
    POLICIES[name] = make


def make_policy(policy: str | Path | Policy) -> Policy:
    """Return the policy of that name, the one saved in that directory, or the policy itself.

    Raises ValueError or TypeError.
    """
    if isinstance(policy, str) and policy in POLICIES:
        return POLICIES[policy]()
    if isinstance(policy, str | Path):
        if is_saved(policy):
            return NetworkPolicy.load(policy)
        known = f"known are {', '.join(POLICIES)}, and directories with a trained policy"
        raise AlsimError(f"unknown policy {str(policy)!r}; {known}")
    if isinstance(policy, type) or not isinstance(policy, Policy):
        raise InputTypeError(f"a policy has a name and act(view, draws); got {policy!r}")
    if not isinstance(policy.name, str) or not policy.name:
        raise InputTypeError(f"a policy's name is a word; got {policy.name!r}")
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
