"""Checks of the policies of users, and the places of the exceptions that they raise."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alsim.errors import AlsimError, InputTypeError
from alsim.policies.base import Policy
from alsim.utils.plugins import package_of

EXPECTED = "a policy must be an instance with a name and a method act(view, draws)"
LEARNING_LIBRARIES = ("stable_baselines3", "sb3_contrib")
"""Libraries whose models `alsim.training.policy_of` converts."""


def checked_policy(policy: Any, name: str = "") -> Policy:
    """Return a policy whose attributes are checked. Raises InputTypeError, with the name that led to the object."""
    subject = f"{name!r} does not name a policy: " if name else ""
    fault = _fault(policy)
    if fault:
        raise InputTypeError(f"{subject}{fault}")
    return policy  # type: ignore[no-any-return]  # it satisfies the protocol


def _fault(policy: Any) -> str:
    """Return a description of the first fault of a policy object, with its cure, or ""."""
    kind = type(policy).__name__
    if isinstance(policy, type):
        return f"{EXPECTED}; got {policy!r}, which is a class; pass {policy.__name__}()"
    if any(package_of(base) in LEARNING_LIBRARIES for base in type(policy).__mro__):
        return f"{EXPECTED}; got a {kind} of {package_of(type(policy))}; pass alsim.training.policy_of(model)"
    has_act, has_name = callable(getattr(policy, "act", None)), hasattr(policy, "name")
    if not has_act and not has_name:
        return f"{EXPECTED}; got {policy!r}; see docs/how-to/add-a-policy.md"
    if not has_act:
        return f"{EXPECTED}; the class {kind} has no method act; add def act(self, view, draws)"
    if not has_name:
        return f'{EXPECTED}; the class {kind} has no name; add name = "{kind.lower()}" to the class'
    if not isinstance(policy.name, str) or not policy.name:
        return f"the name of a policy must be a string, not empty; got {policy.name!r}"
    return _fault_of_signature(policy)


def _fault_of_signature(policy: Any) -> str:
    """Return a description of a method `act` that cannot be called with a view and draws, or ""."""
    try:
        signature = inspect.signature(policy.act)
    except (TypeError, ValueError):  # compiled code without a signature
        return ""
    try:
        signature.bind(None, None)
    except TypeError:
        own = inspect.signature(getattr(policy.act, "__func__", policy.act))
        return (
            f"the method act of the policy {policy.name!r} must take a view and draws; got act{own}; "
            "write def act(self, view, draws)"
        )
    return ""


@contextmanager
def naming(policy: Policy) -> Iterator[None]:
    """Add a note to an exception of a policy: the policy's name, and the file and line of the user's code."""
    try:
        yield
    except Exception as error:
        place = place_of(error)
        if place or repr(policy.name) not in str(error):
            error.add_note(f"raised by the policy {policy.name!r}{place}")
        raise


def place_of(error: BaseException) -> str:
    """Return ", in FILE, line N" for the deepest line of the user's code in a traceback, "" if there is none.

    The user's code is the package of the first frame outside of alsim, as it may call other libraries.
    """
    package, place = "", ""
    trace = error.__traceback__
    while trace is not None:
        own = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if not package and own not in ("alsim", "contextlib"):
            package = own
        if package and own == package:
            place = f", in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def add_place(error: AlsimError, name: str) -> None:
    """Add a note to an exception raised while a policy is created, if the user's code raised it."""
    if place := place_of(error):
        error.add_note(f"raised while the policy {name!r} was created{place}")
