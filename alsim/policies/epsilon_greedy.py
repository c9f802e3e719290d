"""Exploration: another policy's action, or with a small probability any action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.policies import masks, memory
from alsim.policies.base import Policy, PolicyDraws, Transitions, View, has_memory
from alsim.policies.checks import check_agreement, entries, is_fraction, with_probabilities
from alsim.policies.parentheses import enclosed
from alsim.policies.rounds import round_size_of
from alsim.types import Bools, Doubles, Longs


class EpsilonGreedy:
    """Policy that follows another one, with random exploration.

    It takes the action of the other policy, or with probability epsilon any action.

    The probability of an action is epsilon / A + (1 - epsilon) * p, where p is its probability under the base policy.
    With an action mask, A is the number of allowed actions, and the base policy is restricted to them.

    base     policy with a method `probabilities`, such as uniform, rules, a trained network, or an EpsilonGreedy
    epsilon  probability of exploration, in [0, 1]

    Raises AlsimError for another epsilon, and for a base policy without `probabilities`.
    Source: Sutton & Barto (2018), Reinforcement Learning, section 2.2.
    """

    reads_mask = True
    stochastic = True

    def __init__(self, base: Policy, epsilon: float) -> None:
        if not is_fraction(epsilon):
            raise AlsimError(f"the epsilon of epsilon-greedy must be a number in [0, 1]; got {epsilon!r}")
        reason = ", as the probability of an explored action depends on it"
        self.base, self.epsilon = with_probabilities(base, "the base of epsilon-greedy", reason), float(epsilon)
        self.name = f"epsilon-greedy:{enclosed(base.name)}:{self.epsilon!r}"

    def __repr__(self) -> str:
        """Return the base policy and epsilon."""
        return f"<EpsilonGreedy: {self.base!r}, epsilon={self.epsilon!r}>"

    @property
    def start(self) -> Callable[[int], Any] | None:
        """Method that returns the state of the base policy; None if it has no memory."""
        return self._start if has_memory(self.base) else None

    @property
    def round_size(self) -> int | None:
        """Learners per round of the base policy; None if it does not learn across learners."""
        return round_size_of(self.base)

    def _start(self, n: int) -> Any:
        return memory.start(self.base, n)

    def learn(self, state: Any, transitions: Transitions) -> Any:
        """Let the base policy learn from an interaction; return its new state."""
        return memory.learn(self.base, state, transitions)

    def act(self, view: View, *arguments: Any) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability; the arguments are those of the base policy."""
        state, draws = memory.state_and_draws(self, arguments)
        # The draws of this class come first, since the number of the base's draws may depend on the batch.
        explores, explored = self._explored(view, draws)
        of_base = draws.copy()
        chosen, propensities = masks.act(self.base, view, state, draws)
        odds = masks.probabilities(self.base, view, state, of_base)
        check_agreement(self.base, view, odds, chosen, propensities)
        actions = np.where(explores, explored, chosen)
        return actions, entries(self._mixed(view, odds), actions)

    def probabilities(self, view: View, *arguments: Any) -> Doubles:
        """Return the probability of each action in each lane, (N, A); the arguments are those of the base policy."""
        state, draws = memory.state_and_draws(self, arguments)
        if draws is not None:
            draws = draws.copy()
            self._explored(view, draws)  # `act` uses these draws before the base policy does
        return self._mixed(view, masks.probabilities(self.base, view, state, draws))

    def _explored(self, view: View, draws: PolicyDraws) -> tuple[Bools, Longs]:
        """Return whether each lane explores, and the action that it then takes, (N,) each."""
        return draws.uniform() < self.epsilon, masks.uniform_action(view, draws)

    def _mixed(self, view: View, odds: Doubles) -> Doubles:
        """Return the probability of each action, (N, A), from those under the base policy."""
        return masks.uniform_odds(view, self.epsilon) + (1 - self.epsilon) * odds


__all__ = ["EpsilonGreedy"]
