"""Checks of the policies of users, and of the arrays that they return."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.policies.base import LARGEST_PROBABILITY, Policy, PolicyWithProbabilities, View, has_memory
from alsim.policies.memory import takes
from alsim.types import Doubles, Longs, describe
from alsim.utils.plugins import package_of

EXPECTED = "a policy must be an instance with a name and a method act(view, draws)"
LEARNING_LIBRARIES = ("stable_baselines3", "sb3_contrib")
"""Libraries whose models `alsim.training.policy_of` converts."""
TOLERANCE = 1e-5
"""Relative difference that is allowed between equal probabilities: float32 rounds."""


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
        return f"{EXPECTED}; got {describe(policy)}; see docs/how-to/add-a-policy.md"
    if not has_act:
        return f"{EXPECTED}; the class {kind} has no method act; add def act(self, view, draws)"
    if not has_name:
        return f'{EXPECTED}; the class {kind} has no name; add name = "{kind.lower()}" to the class'
    if not isinstance(policy.name, str) or not policy.name:
        return f"the name of a policy must be a string, not empty; got {policy.name!r}"
    return _fault_of_methods(policy)


WITH_MEMORY = {"start": ("n",), "act": ("view", "state", "draws"), "learn": ("state", "transitions")}
"""Methods of a policy with memory, and their arguments."""
WITHOUT_MEMORY = {"act": ("view", "draws")}
"""Method of a policy without memory, and its arguments."""


def _fault_of_methods(policy: Any) -> str:
    """Return a description of the first method that is missing or cannot be called as it must be, or ""."""
    methods = WITH_MEMORY if has_memory(policy) else WITHOUT_MEMORY
    for name, arguments in methods.items():
        method, listed = getattr(policy, name, None), ", ".join(arguments)
        if not callable(method):
            return (
                f"the policy {policy.name!r} has a method start, so it must have a method {name}, too; "
                f"add def {name}(self, {listed})"
            )
        if not takes(method, len(arguments)):
            own = inspect.signature(getattr(method, "__func__", method))
            memory = " (the policy has a method start, so it receives the state)" if "state" in arguments else ""
            return (
                f"the method {name} of the policy {policy.name!r} must take {_words(arguments)}{memory}; got "
                f"{name}{own}; write def {name}(self, {listed})"
            )
    return ""


def _words(arguments: tuple[str, ...]) -> str:
    """Return the names of arguments as words: "a view and draws"."""
    named = [word if word in ("draws", "transitions", "n") else f"a {word}" for word in arguments]
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def with_probabilities(policy: Any, subject: str, reason: str = "") -> PolicyWithProbabilities:
    """Return a policy with a method `probabilities`. Raises InputTypeError, with the cure, for any other object.

    subject  noun phrase for the policy in the error
    reason   clause that explains the requirement
    """
    if isinstance(policy, type) or not callable(getattr(policy, "probabilities", None)) or not hasattr(policy, "act"):
        arguments, passed = ("view, state, draws",) * 2 if has_memory(policy) else ("view", "view, None")
        raise InputTypeError(
            f"{subject} must be a policy with a method probabilities({arguments}){reason}; got "
            f"{getattr(policy, 'name', policy)!r}; add the method to its class; of a deterministic policy it is: "
            f"def probabilities(self, {arguments}): "
            f"return alsim.policies.one_hot(self.act({passed})[0], view.num_actions)"
        )
    if not any(takes(policy.probabilities, count) for count in ((3,) if has_memory(policy) else (1, 2))):
        listed = "view, state, draws=None" if has_memory(policy) else "view, draws=None"
        method = policy.probabilities
        own = inspect.signature(getattr(method, "__func__", method))
        raise InputTypeError(
            f"the method probabilities of the policy {policy.name!r} must take ({listed}); got probabilities{own}; "
            f"write def probabilities(self, {listed})"
        )
    return policy  # type: ignore[no-any-return]  # it has a method probabilities


def is_fraction(value: Any) -> bool:
    """Return whether a value is a number in [0, 1], of Python or of NumPy."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return bool(0 <= value <= 1)


def checked_decision(policy: Policy, view: View, decision: Any) -> tuple[Longs, Doubles]:
    """Return the actions and probabilities that `act` of a policy returned, (N,) each.

    Lanes whose episode has ended get action 0. Probabilities up to LARGEST_PROBABILITY count as 1. Raises AlsimError,
    which names the policy, for anything but a pair of integers in [0, A) and floats in (0, 1].
    """
    subject = f"the policy {policy.name!r}"
    if not isinstance(decision, tuple) or len(decision) != 2:
        raise InputTypeError(f"{subject} must return a pair (actions, probabilities); got {type(decision).__name__}")
    chosen = _array(decision[0], f"the actions of {subject}")
    probability = _array(decision[1], f"the probabilities of {subject}")
    if chosen.shape != (view.num_lanes,) or chosen.dtype.kind not in "iu":
        raise AlsimError(
            f"{subject} must return {view.num_lanes} integer actions; got {chosen.dtype} of shape {chosen.shape}; "
            "return such as those of view.question and view.content"
        )
    if probability.shape != (view.num_lanes,) or probability.dtype.kind != "f":
        raise AlsimError(
            f"{subject} must return {view.num_lanes} float probabilities; got {probability.dtype} of shape "
            f"{probability.shape}; those of a deterministic policy are np.ones(view.num_lanes)"
        )
    invalid = view.active & ~((chosen >= 0) & (chosen < view.num_actions))
    if invalid.any():
        lane = int(np.argmax(invalid))
        raise AlsimError(
            f"{subject} chose action {chosen[lane]} in lane {lane}; actions must be in [0, {view.num_actions})"
        )
    invalid = view.active & ~((probability > 0) & (probability <= LARGEST_PROBABILITY))
    if invalid.any():
        lane = int(np.argmax(invalid))
        raise AlsimError(
            f"{subject} returned probability {probability[lane]} for its action in lane {lane}; "
            "probabilities must be in (0, 1]"
        )
    return np.where(view.active, chosen, 0).astype(np.int64), np.minimum(probability.astype(np.float64), 1)


def checked_probabilities(policy: Policy, view: View, probabilities: Any) -> Doubles:
    """Return the probabilities that `probabilities` of a policy returned, (N, A).

    Probabilities slightly above 1, from a rounded sum, count as 1. Raises AlsimError, which names the policy, for
    another shape, and for rows that are not a distribution. Rows of lanes whose episode has ended are not checked.
    """
    subject, shape = f"the probabilities of the policy {policy.name!r}", (view.num_lanes, view.num_actions)
    try:
        odds = _array(probabilities, subject).astype(np.float64)
    except (TypeError, ValueError):
        raise InputTypeError(f"{subject} must be numbers of the shape {shape}; got {describe(probabilities)}") from None
    if odds.shape != shape:
        raise AlsimError(f"{subject} must have the shape {shape}; got {odds.shape}")
    sums = odds.sum(axis=1)
    invalid = view.active & ~((odds >= 0).all(axis=1) & np.isclose(sums, 1, rtol=TOLERANCE, atol=0))
    if invalid.any():
        lane = int(np.argmax(invalid))
        raise AlsimError(
            f"{subject} must be at least 0 and sum to 1; got the sum {sums[lane]} and the minimum {odds[lane].min()} "
            f"in lane {lane}; correct its method probabilities"
        )
    return np.minimum(odds, 1, out=odds)  # as in `checked_decision`, so that a log gives its propensities again


def check_agreement(policy: Policy, view: View, odds: Doubles, chosen: Longs, propensities: Doubles) -> None:
    """Raise AlsimError if the propensities of a policy differ from its probabilities: the log would be wrong.

    odds                  (N, A) as its method `probabilities` returned them
    chosen, propensities  (N,) as its method `act` returned them
    """
    expected = entries(odds, chosen)
    differs = view.active & ~np.isclose(propensities, expected, rtol=TOLERANCE, atol=0)
    if differs.any():
        lane = int(np.argmax(differs))
        raise AlsimError(
            f"the policy {policy.name!r} chose action {chosen[lane]} with probability {propensities[lane]}, but "
            f"its method probabilities returned {expected[lane]}; correct one of the two methods"
        )


def entries(odds: Doubles, actions: Longs) -> Doubles:
    """Return the probability of the action of each lane, (N,), from those of all actions, (N, A)."""
    return np.asarray(odds[np.arange(len(odds)), actions])


def _array(values: Any, subject: str) -> NDArray[Any]:
    """Return values of a policy as an array. Raises InputTypeError, with the subject, if they cannot be converted."""
    try:
        return np.asarray(values)
    except Exception as error:  # of NumPy, or of the class of the values, such as a tensor with a gradient
        raise InputTypeError(f"{subject} cannot be converted to a NumPy array: {error}; return an array") from None


__all__ = [
    "EXPECTED",
    "TOLERANCE",
    "checked_decision",
    "checked_policy",
    "checked_probabilities",
    "is_fraction",
    "with_probabilities",
]
