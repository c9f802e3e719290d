"""Decisions of policies under an action mask: the distribution of a policy, restricted to the allowed actions.

A policy whose class has `reads_mask = True` chooses among the allowed actions by itself, and is only checked. Every
other policy needs `probabilities`: its distribution is restricted to the allowed actions and renormalised. Where no
probability is left, the restricted distribution is uniform over the allowed actions. Under a mask, a compiled rule sees
each LO of which no action is allowed as mastered (mastery 1), so that a rule about the weakest LO chooses among the
others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.policies import memory
from alsim.policies.action_masks import ActionMask, los_with_actions
from alsim.policies.base import Policy, PolicyDraws, View
from alsim.policies.checks import checked_decision, checked_probabilities, entries, with_probabilities
from alsim.policies.compiled import is_rule
from alsim.types import Bools, Doubles, Longs


def reads_mask(policy: Any) -> bool:
    """Return whether a policy chooses among the allowed actions by itself."""
    return getattr(policy, "reads_mask", False) is True


def check_maskable(policy: Policy) -> None:
    """Raise InputTypeError, which names the policy, unless it can be used with an action mask."""
    if not reads_mask(policy):
        with_probabilities(policy, "with an action mask, the policy", ", which the mask restricts")


def with_mask(view: View, mask: ActionMask | None, rows: Longs | None = None) -> View:
    """Return a view with the current mask, or the view itself without one.

    rows  rows of a mask array that the lanes have, (N,); None: rows 0 to N - 1

    All actions are allowed in lanes whose episode has ended. Raises AlsimError for an invalid result of a function.
    """
    if mask is None:
        return view
    allowed = np.array(mask.allowed(view, rows))
    allowed[~view.active] = True
    allowed.flags.writeable = False
    return replace(view, mask=allowed)


def act(policy: Policy, view: View, state: Any, draws: PolicyDraws) -> tuple[Longs, Doubles]:
    """Return the action of each lane and its probability, (N,) each; with a mask, allowed actions only.

    state  state of a policy with memory; None for any other

    Raises AlsimError, which names the policy, for an invalid decision, and for one that the mask does not allow.
    """
    if view.mask is None or reads_mask(policy):
        actions, propensities = checked_decision(policy, view, memory.act(policy, view, state, draws))
        if view.mask is not None:
            _check_allowed(policy, view, actions)
        return actions, propensities
    variate = draws.uniform()
    odds = _restricted(policy, view, state, draws)
    actions = sample(odds, variate)
    return np.where(view.active, actions, 0), np.where(view.active, entries(odds, actions), 1.0)


def probabilities(policy: Any, view: View, state: Any, draws: PolicyDraws | None) -> Doubles:
    """Return the distribution from which `act` draws, (N, A); with a mask, 0 for actions that are not allowed.

    Raises AlsimError, which names the policy, for rows that are not a distribution.
    """
    if view.mask is None or reads_mask(policy):
        odds = checked_probabilities(policy, view, memory.probabilities(policy, view, state, draws))
        if view.mask is not None:
            _check_no_mass(policy, view, odds)
        return odds
    if draws is not None:
        draws = draws.copy()
        draws.uniform()  # `act` uses this variate first
    return _restricted(policy, view, state, draws)


def restrict(odds: Doubles, allowed: Bools) -> Doubles:
    """Return distributions restricted to the allowed actions and renormalised, (N, A).

    odds     distributions, (N, A)
    allowed  True for allowed actions, (N, A), at least one per row

    A row without probability on allowed actions becomes uniform over them. A row without probability on other actions
    stays as it is, bit for bit. The sums are sequential, so that a row does not depend on the other rows.
    """
    kept = np.where(allowed, odds, 0.0)
    is_kept = (kept == odds).all(axis=1, keepdims=True)
    total = np.where(is_kept, 1.0, np.cumsum(kept, axis=1)[:, -1:])
    is_empty = total <= 0
    if is_empty.any():
        kept = np.where(is_empty, allowed, kept)
        total = np.where(is_empty, allowed.sum(axis=1, keepdims=True), total)
    return np.asarray(kept / total)


def sample(odds: Doubles, variate: Doubles) -> Longs:
    """Return the action that each variate on (0, 1) selects by the inverse of the cumulative distribution, (N,)."""
    cumulative = np.cumsum(odds, axis=1)
    target = variate * cumulative[:, -1]
    return np.asarray(np.argmax(cumulative > target[:, np.newaxis], axis=1), np.int64)


def uniform_action(view: View, draws: PolicyDraws) -> Longs:
    """Return an action drawn uniformly from all allowed actions of each lane, (N,), by one random word."""
    if view.mask is None:
        return draws.integers(view.num_actions)
    chosen = draws.integers(view.mask.sum(axis=1))
    return np.asarray(np.argmax(np.cumsum(view.mask, axis=1) > chosen[:, np.newaxis], axis=1), np.int64)


def uniform_odds(view: View, share: float = 1.0) -> Doubles:
    """Return `share` divided by the number of allowed actions for each of them, 0 for the others, (N, A)."""
    if view.mask is None:
        return np.full((view.num_lanes, view.num_actions), share / view.num_actions)
    return np.where(view.mask, share / view.mask.sum(axis=1, keepdims=True), 0.0)


def _restricted(policy: Any, view: View, state: Any, draws: PolicyDraws | None) -> Doubles:
    """Return the distribution of a policy that does not read the mask, restricted to the allowed actions, (N, A)."""
    check_maskable(policy)
    assert view.mask is not None
    seen = _seen_by(policy, view, view.mask)
    odds = checked_probabilities(policy, view, memory.probabilities(policy, seen, state, draws))
    return restrict(np.where(view.active[:, np.newaxis], odds, 1.0), view.mask)


def _seen_by(policy: Any, view: View, allowed: Bools) -> View:
    """Return the view that a policy gets: for a compiled rule, LOs without an allowed action have mastery 1."""
    if view.kind != "mastery" or not is_rule(policy):
        return view
    closed = ~los_with_actions(allowed)
    if not closed.any():
        return view
    observation = view.observation.copy()
    observation[:, : view.num_los][closed] = 1
    observation.flags.writeable = False
    return replace(view, observation=observation)


def _check_allowed(policy: Policy, view: View, actions: Longs) -> None:
    """Raise AlsimError if an action is not allowed."""
    assert view.mask is not None
    masked = view.active & ~view.mask[np.arange(len(actions)), actions]
    if masked.any():
        lane = int(np.argmax(masked))
        raise AlsimError(
            f"the policy {policy.name!r} chose action {actions[lane]} in lane {lane}, which the action mask does not "
            "allow; let it choose from view.mask, or remove reads_mask from its class"
        )


def _check_no_mass(policy: Policy, view: View, odds: Doubles) -> None:
    """Raise AlsimError if an action that is not allowed has a probability above 0."""
    assert view.mask is not None
    masked = view.active & ((odds > 0) & ~view.mask).any(axis=1)
    if masked.any():
        lane = int(np.argmax(masked))
        action = int(np.argmax((odds[lane] > 0) & ~view.mask[lane]))
        raise AlsimError(
            f"the policy {policy.name!r} gives action {action} in lane {lane} the probability {odds[lane, action]}, "
            "but the action mask does not allow it; let its method probabilities read view.mask"
        )


__all__ = [
    "act",
    "check_maskable",
    "probabilities",
    "reads_mask",
    "restrict",
    "sample",
    "uniform_action",
    "uniform_odds",
    "with_mask",
]
