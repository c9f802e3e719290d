"""Mixtures: at each interaction, one of several policies acts, by given weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.policies import masks, memory
from alsim.policies.base import Policy, PolicyDraws, Transitions, View, has_memory
from alsim.policies.checks import check_agreement, entries, is_fraction, with_probabilities
from alsim.policies.parentheses import enclosed, split
from alsim.types import Doubles, Longs, describe

Weights = Mapping[Policy, float] | Iterable[tuple[Policy, float]]
"""Base policies with their weights."""

TOLERANCE = 1e-9
"""Largest difference between 1 and the sum of the weights; weights are divided by their sum."""
EXAMPLE = "mix:rules=0.7,uniform=0.3"
REASON = ", as the probability of an action is the weighted sum of those of all bases"


class Mix:
    """Policy that lets one of several others act, by weights.

    At each interaction, each lane draws one of the base policies by the weights, and takes its action. The probability
    of an action is the weighted sum of its probabilities under all bases. Bases with memory learn from all
    interactions, also from those that another base chose. With an action mask, the bases are restricted to the allowed
    actions.

    weights  base policies with their weights, as a dict or as pairs. Each base has a method `probabilities`. The
             weights are in [0, 1] and sum to 1, up to 1e-9; they are divided by their sum

    Raises AlsimError for other weights, for a base without `probabilities`, and for one that learns across learners.
    """

    reads_mask = True
    stochastic = True

    def __init__(self, weights: Weights) -> None:
        pairs = _checked_pairs(weights)
        self.bases = tuple(with_probabilities(base, "each base of mix", REASON) for base, _ in pairs)
        total = math.fsum(weight for _, weight in pairs)
        self.weights = tuple(weight / total for _, weight in pairs)
        self.name = f"mix:{weights_text(pairs)}"

    def __repr__(self) -> str:
        """Return the base policies and their weights."""
        pairs = zip(self.bases, self.weights, strict=True)
        return f"<Mix: {', '.join(f'{base!r} with weight {weight!r}' for base, weight in pairs)}>"

    @property
    def start(self) -> Callable[[int], Any] | None:
        """Method that returns the states of the bases with memory, a tuple; None if no base has memory."""
        return self._start if any(map(has_memory, self.bases)) else None

    def _start(self, n: int) -> tuple[Any, ...]:
        return tuple(memory.start(base, n) for base in self.bases if has_memory(base))

    def learn(self, state: tuple[Any, ...], transitions: Transitions) -> tuple[Any, ...]:
        """Let each base with memory learn from an interaction; return their new states."""
        learning = [base for base in self.bases if has_memory(base)]
        return tuple(memory.learn(base, own, transitions) for base, own in zip(learning, state, strict=True))

    def act(self, view: View, *arguments: Any) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability.

        arguments  draws; or state and draws if a base has memory
        """
        state, draws = memory.state_and_draws(self, arguments)
        selected, chosen = self._selected(draws), np.zeros(view.num_lanes, np.int64)
        all_odds = []
        for k, (base, own) in enumerate(self._with_states(state)):
            # All bases get the same draws: the number of draws of one may depend on the batch.
            actions, propensities = masks.act(base, view, own, draws.copy())
            odds = masks.probabilities(base, view, own, draws.copy())
            check_agreement(base, view, odds, actions, propensities)
            chosen = np.where(selected == k, actions, chosen)
            all_odds.append(odds)
        return chosen, self._mixed([entries(odds, chosen) for odds in all_odds])

    def probabilities(self, view: View, *arguments: Any) -> Doubles:
        """Return the probability of each action in each lane, (N, A).

        arguments  nothing or draws; or state and draws if a base has memory
        """
        state, draws = memory.state_and_draws(self, arguments)
        if draws is not None:
            draws = draws.copy()
            self._selected(draws)  # `act` uses these draws before the bases do
        parts = [masks.probabilities(base, view, own, draws and draws.copy()) for base, own in self._with_states(state)]
        return self._mixed(parts)

    def _selected(self, draws: PolicyDraws) -> Longs:
        """Return the index of the base that acts in each lane, (N,)."""
        borders, last = np.cumsum(self.weights), max(k for k, weight in enumerate(self.weights) if weight > 0)
        return np.minimum(np.searchsorted(borders, draws.uniform(), side="right"), last)

    def _with_states(self, state: Any) -> list[tuple[Any, Any]]:
        """Return each base with its state, None without memory."""
        states = iter(() if state is None else state)
        return [(base, next(states) if has_memory(base) else None) for base in self.bases]

    def _mixed(self, parts: list[Doubles]) -> Doubles:
        """Return the weighted sum of arrays, one per base, added in the order of the bases."""
        total = np.zeros_like(parts[0])
        for weight, part in zip(self.weights, parts, strict=True):
            total += weight * part
        return total


def read_weights(name: str, text: str) -> list[tuple[str, float]]:
    """Return the names of policies in a text like "rules=0.7,uniform=0.3", and their weights.

    name  complete name, for the errors

    Raises AlsimError for a text of another form.
    """
    pairs = []
    for part in split(name, text, ","):
        *words, weight = split(name, part, "=")
        base = words[0] if len(words) == 1 else part.rpartition("=")[0]
        try:
            pairs.append((base, float(weight)))
        except ValueError:
            base = ""
        if not base:
            raise AlsimError(
                f"the weights of mix must be POLICY=WEIGHT, separated by commas; got {part!r}; write such as {EXAMPLE}"
            )
    return pairs


def weights_text(pairs: Iterable[tuple[Policy, float]]) -> str:
    """Return weights as in the name of a policy: "rules=0.7,uniform=0.3"."""
    return ",".join(f"{enclosed(base.name, ':,=')}={float(weight)!r}" for base, weight in pairs)


def _checked_pairs(weights: Any) -> list[tuple[Policy, float]]:
    """Return pairs of a base and its weight. Raises errors for another form, and unless the weights sum to 1."""
    try:
        pairs = [(base, weight) for base, weight in (weights.items() if isinstance(weights, Mapping) else weights)]
    except (TypeError, ValueError):
        raise InputTypeError(
            f"the weights of mix must be a dict or pairs of policies and weights; got {describe(weights)}; write such "
            "as Mix({policy: 0.7, other: 0.3})"
        ) from None
    for base, weight in pairs:
        name = getattr(base, "name", base)
        if getattr(base, "round_size", None) is not None:
            raise InputTypeError(
                f"the bases of mix must not learn across learners; got {name!r}, which learns in rounds; make it learn "
                "per learner"
            )
        if not is_fraction(weight):
            raise AlsimError(
                f"the weights of mix must be numbers in [0, 1]; got {weight!r} for {name!r}; weights must sum to "
                f"1, as in {EXAMPLE}"
            )
    total = math.fsum(weight for _, weight in pairs)
    if abs(total - 1) > TOLERANCE:
        listed = ", ".join(f"{getattr(base, 'name', base)}={weight!r}" for base, weight in pairs) or "none"
        raise AlsimError(
            f"the weights of mix must sum to 1; got {listed}, which sum to {total:.12g}; write such as {EXAMPLE}"
        )
    return [(base, float(weight)) for base, weight in pairs]


__all__ = ["Mix", "Weights", "read_weights", "weights_text"]
