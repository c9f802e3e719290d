"""Checks of the arrays that a policy returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.policies.base import Policy, View
from alsim.types import Doubles, Longs

TOLERANCE = 1e-5
"""Relative difference that is allowed between equal probabilities: float32 rounds."""


def is_fraction(value: Any) -> bool:
    """Return whether a value is a number in [0, 1], of Python or of NumPy."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return bool(0 <= value <= 1)


def checked_decision(policy: Policy, view: View, decision: Any) -> tuple[Longs, Doubles]:
    """Return the actions and probabilities that `act` of a policy returned, (N,) each.

    Lanes whose episode has ended get action 0. Raises AlsimError, which names the policy, for anything but a pair of
    integers in [0, A) and floats in (0, 1].
    """
    subject = f"the policy {policy.name!r}"
    if not isinstance(decision, tuple) or len(decision) != 2:
        raise InputTypeError(f"{subject} must return a pair (actions, probabilities); got {type(decision).__name__}")
    chosen, probability = np.asarray(decision[0]), np.asarray(decision[1])
    if chosen.shape != (view.num_lanes,) or chosen.dtype.kind not in "iu":
        raise AlsimError(
            f"{subject} must return {view.num_lanes} integer actions; got {chosen.dtype} of shape {chosen.shape}"
        )
    if probability.shape != (view.num_lanes,) or probability.dtype.kind != "f":
        raise AlsimError(
            f"{subject} must return {view.num_lanes} float probabilities; got {probability.dtype} of shape "
            f"{probability.shape}"
        )
    invalid = view.active & ~((chosen >= 0) & (chosen < view.num_actions))
    if invalid.any():
        lane = int(np.argmax(invalid))
        raise AlsimError(
            f"{subject} chose action {chosen[lane]} in lane {lane}; actions must be in [0, {view.num_actions})"
        )
    invalid = view.active & ~((probability > 0) & (probability <= 1))
    if invalid.any():
        lane = int(np.argmax(invalid))
        raise AlsimError(
            f"{subject} returned probability {probability[lane]} for its action in lane {lane}; "
            "probabilities must be in (0, 1]"
        )
    return np.where(view.active, chosen, 0).astype(np.int64), probability.astype(np.float64)


def checked_probabilities(policy: Policy, view: View, probabilities: Any) -> Doubles:
    """Return the probabilities that `probabilities` of a policy returned, (N, A).

    Raises AlsimError, which names the policy, for another shape, and for rows that are not a distribution. Rows of
    lanes whose episode has ended are not checked.
    """
    subject, shape = f"the probabilities of the policy {policy.name!r}", (view.num_lanes, view.num_actions)
    try:
        odds = np.asarray(probabilities, np.float64)
    except (TypeError, ValueError):
        raise InputTypeError(f"{subject} must be numbers of the shape {shape}; got {probabilities!r}") from None
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
    return odds


__all__ = ["TOLERANCE", "checked_decision", "checked_probabilities", "is_fraction"]
