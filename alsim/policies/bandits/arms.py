"""Base of the bandit policies: arms, rewards, masks and the floor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.mdp.actions import KINDS, LEVELS
from alsim.policies.base import PolicyDraws, Transitions, View, check_observation
from alsim.policies.memory import map_arrays
from alsim.policies.sampling import draw_in_parts, explored, mask_of, read_number, sums
from alsim.types import Bools, Doubles, Floats, Longs, Observation

ROUND_SIZE = 256
"""Learners per round of a policy that is shared by all learners."""
FULL_GAIN = 0.25
"""Normalised gain of mastery that counts as a reward of 1."""
SMALLEST, LARGEST = 1e-100, 1e100
"""Range of positive parameters: products and quotients with them are finite and above 0."""
FEATURES = 5
"""Length of the context of LinUCB and LinTS."""


class Pulls(NamedTuple):
    """Interactions of M lanes with an arm."""

    lanes: Longs  # (M,) row of each interaction in the transitions
    rows: Longs  # (M,) row of the state
    arms: Longs  # (M,) modality
    los: Longs  # (M,) LO


def normalised_gain(before: Floats, after: Floats) -> Doubles:
    """Return (after - before) / (1 - before) of mastery, at least 0; 0 where mastery was 1.

    Source: Hake (1998), Interactive-engagement versus traditional methods, Am. J. Phys. 66(1).
    """
    start, end = before.astype(np.float64), after.astype(np.float64)
    return np.asarray(np.maximum(end - start, 0) / np.maximum(1 - start, 1e-9))


def contexts_of(observation: Floats, num_los: int) -> Doubles:
    """Return the context of each learner, (N, 5): 1, lowest mastery, mean mastery, frustration, last response time.

    The response time is a share of the longest one, as in the observation. All entries are in [0, 1].
    """
    mastery = observation[:, :num_los].astype(np.float64)
    columns = [
        *(np.ones(len(mastery)), mastery.min(axis=1), sums(mastery) / num_los),
        *(observation[:, -2].astype(np.float64), observation[:, -1].astype(np.float64)),
    ]
    return np.stack(columns, axis=1)


class ContentBandit(ABC):
    """Policy whose arms are the six contents of the LO of lowest mastery.

    floor   probability of an action drawn uniformly from all allowed actions, questions included, in [0, 1]
    shared  whether all learners share one state, which learns in rounds of `round_size` learners

    Contents of the weakest LO teach it; other actions, which only the floor draws, do not. While no arm is allowed, it
    draws uniformly from all allowed actions. It reads mastery. Raises AlsimError for invalid values.
    """

    reads_mask = True
    reads: ClassVar[Observation] = "mastery"

    def __init__(self, name: str, floor: float, shared: bool) -> None:
        if not isinstance(shared, bool):
            raise AlsimError(f"the parameter shared of {name} must be True or False; got {shared!r}")
        self.name = name
        self.floor, self.shared = read_number(name, "floor", floor), shared
        self.round_size = ROUND_SIZE if shared else None

    @property
    def digest(self) -> str:
        """Text of the parameters, which the name does not identify."""
        return repr(sorted((key, value) for key, value in vars(self).items() if key != "name"))

    def __repr__(self) -> str:
        """Return the parameters."""
        shown = ", ".join(f"{key}={value!r}" for key, value in vars(self).items() if key not in ("name", "round_size"))
        return f"<{type(self).__name__}: {shown}>"

    def act(self, view: View, state: Any, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability."""
        return draw_in_parts(lambda part: self._odds(view, state, part), draws.uniform(), view.num_actions)

    def probabilities(self, view: View, state: Any, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A)."""
        return self._odds(view, state, slice(None))

    def learn(self, state: Any, transitions: Transitions) -> None:
        """Learn from the interactions with arms, in place."""
        pulls = self._pulls(transitions)
        if len(pulls.lanes):
            self._learn(state, transitions, pulls)

    @abstractmethod
    def _arm_odds(self, state: Any, observation: Floats, num_los: int, allowed: Bools | None) -> Doubles:
        """Return the probability of each arm, (M, 6), or (1, 6) for all lanes; 0 where no arm is allowed."""

    @abstractmethod
    def _learn(self, state: Any, transitions: Transitions, pulls: Pulls) -> None:
        """Learn from interactions with arms, in place."""

    def _pulls(self, x: Transitions) -> Pulls:
        """Return the interactions with contents of the weakest LO."""
        weakest = x.mastery.argmin(axis=1)
        lanes = np.flatnonzero(x.active & ~x.asks & (x.los == weakest))
        return Pulls(lanes, np.zeros_like(lanes) if self.shared else lanes, x.levels[lanes], x.los[lanes])

    def _gains(self, x: Transitions, pulls: Pulls) -> Doubles:
        """Return the normalised gain of mastery of each interaction with an arm, (M,)."""
        return normalised_gain(x.mastery[pulls.lanes, pulls.los], x.next_mastery[pulls.lanes, pulls.los])

    def _rewards(self, x: Transitions, pulls: Pulls) -> Doubles:
        """Return the reward of each interaction with an arm, (M,) in [0, 1]: normalised gain / 0.25, at most 1."""
        return np.minimum(self._gains(x, pulls) / FULL_GAIN, 1.0)

    def _odds(self, view: View, state: Any, part: slice) -> Doubles:
        """Return the probability of each action in some lanes, (M, A)."""
        check_observation(self, view.kind)
        weakest = view.mastery[part].argmin(axis=1)
        lanes, mask = np.arange(len(weakest))[:, np.newaxis], mask_of(view, part)
        arms = (LEVELS * view.num_los + KINDS * weakest)[:, np.newaxis] + np.arange(KINDS)
        own = state if self.shared else map_arrays(lambda array: array[part], state)
        allowed = None if mask is None else mask[lanes, arms]
        odds = np.zeros((len(weakest), view.num_actions))
        odds[lanes, arms] = self._arm_odds(own, view.observation[part], view.num_los, allowed)
        return explored(odds, mask, self.floor)


def read_positive(policy: str, parameter: str, value: Any) -> float:
    """Return a parameter of a policy that must be a positive number, from SMALLEST to LARGEST. Raises AlsimError."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not 0 < value < np.inf:
        raise AlsimError(f"the {parameter} of {policy} must be a positive number; got {value!r}")
    if not SMALLEST <= value <= LARGEST:
        raise AlsimError(f"the {parameter} of {policy} must be from {SMALLEST:g} to {LARGEST:g}; got {value!r:.20}")
    return float(value)


__all__ = ["FEATURES", "ContentBandit", "Pulls", "contexts_of", "normalised_gain", "read_positive"]
