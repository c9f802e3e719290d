"""Targets of off-policy evaluation for logs of engines."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.datasets.engine_log import EngineLog
from alsim.datasets.engine_replay import Shown
from alsim.engine.recommenders import PRESETS, Recommender, make_recommender
from alsim.errors import AlsimError, did_you_mean
from alsim.policies.names import known_policies
from alsim.types import Doubles, describe

UNIFORM = "uniform"
"""Target under which each candidate of a decision is equally likely."""
TARGETS = ("guide", "alosi", UNIFORM)
"""Names of targets."""
POSSIBLE = "'guide', 'alosi', 'uniform', or a recommender of yours that computes the propensities of all candidates"


def target_recommender(log: EngineLog, target: Any) -> Recommender | None:
    """Return the recommender of a target, None for the uniform one. Raises AlsimError for others."""
    if isinstance(target, str) and target == UNIFORM:
        return None
    try:
        found = make_recommender(target, log.catalogue)
    except AlsimError as error:
        if isinstance(target, str) and ":" in target:
            raise AlsimError(f"the target {target!r:.100} is not possible: {error}") from None
        cure = did_you_mean(target, TARGETS) if isinstance(target, str) else ""
        raise AlsimError(
            f"there is no target {describe(target):.100} for the log of an engine{cure or f'; expected {POSSIBLE}'}"
        ) from None
    if not has_shares(found):
        raise AlsimError(
            f"the target {found.name!r} does not compute the propensities of all candidates; expected {POSSIBLE}"
        )
    return found


def named_in_log(log: EngineLog, policy: str) -> Recommender | None:
    """Return the recommender with a name in a log, None if it is not one of this package: a file imports no code."""
    head, *rest = policy.split(":")
    known = known_policies()
    is_policy = head == "policy" and len(rest) > 0 and all(word in known or _is_number(word) for word in rest)
    if head not in PRESETS and not is_policy:
        return None
    try:
        return log.recommender(policy)
    except AlsimError:
        return None


def _is_number(word: str) -> bool:
    """Return whether a word is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def has_shares(recommender: Recommender) -> bool:
    """Return whether a recommender computes the propensities of all candidates."""
    return type(recommender).shares is not Recommender.shares


def uniform_odds(recommender: Recommender, shown: Shown) -> Doubles:
    """Return the same probability for all candidates of a recommender, (m, I)."""
    ready, place = np.unique(shown.situation.ready, axis=0, return_inverse=True)
    is_candidate = np.zeros((len(ready), len(recommender.catalogue)))
    for row, skills in zip(is_candidate, ready, strict=True):
        row[recommender.candidates(skills)] = 1
    found = is_candidate[place.reshape(-1)]
    for above in shown.above.T:
        found[np.flatnonzero(above >= 0), above[above >= 0]] = 0
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1))


__all__ = ["TARGETS", "UNIFORM", "has_shares", "named_in_log", "target_recommender", "uniform_odds"]
