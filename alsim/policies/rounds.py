"""Policies that learn across learners, in rounds: one state for all learners, which is fixed within a round.

Such a policy has an attribute `round_size`, and the methods of a policy with memory. `start(1)` returns its state: the
arrays have one row for all lanes. The learners of a round meet the same state, so that they can be simulated in any
batch. After the round, `learn` receives all its interactions, ordered by learner, episode and step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.policies import memory
from alsim.policies.base import Policy, PolicyDraws, Transitions, View, has_memory
from alsim.policies.compiled import RulePolicy
from alsim.types import Codes, Doubles, Floats, Ints, Longs, Observation


def round_size_of(policy: Any) -> int | None:
    """Return the number of learners per round; None for a policy that does not learn across learners.

    Raises AlsimError, which names the policy, for a size that is not a positive integer, and for a policy without a
    state of all learners.
    """
    size = getattr(policy, "round_size", None)
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise AlsimError(
            f"the round_size of the policy {policy.name!r} must be an integer of at least 1; got {size!r}; 256 is usual"
        )
    if not has_memory(policy) or isinstance(policy, RulePolicy):
        reason = "a rule has a memory of each lane" if isinstance(policy, RulePolicy) else "it has no method start"
        raise AlsimError(
            f"the policy {policy.name!r} has a round_size, but {reason}; leave out round_size, or write a class with "
            "the methods start(n), act(view, state, draws) and learn(state, transitions)"
        )
    return int(size)


class FixedState:
    """A policy that learns across learners, with its state in one round: a policy without memory."""

    def __init__(self, policy: Policy, state: Any) -> None:
        self.name, self.policy, self.state = policy.name, policy, state

    @property
    def reads_mask(self) -> bool:
        """True if the policy chooses among allowed actions by itself."""
        return getattr(self.policy, "reads_mask", False) is True

    def act(self, view: View, draws: PolicyDraws) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the action of each lane and its probability."""
        decision: tuple[NDArray[Any], NDArray[Any]] = memory.act(self.policy, view, self.state, draws)
        return decision

    def probabilities(self, view: View, draws: PolicyDraws | None = None) -> NDArray[Any]:
        """Return the probability of each action in each lane, (N, A)."""
        found: NDArray[Any] = memory.probabilities(self.policy, view, self.state, draws)
        return found


def first_state(policy: Policy) -> FixedState:
    """Return a policy that learns across learners as it is in its first round."""
    return FixedState(policy, memory.start(policy, 1))


def next_state(fixed: FixedState, transitions: Transitions) -> FixedState:
    """Return a policy in the next round: its state after the interactions of this one."""
    state = memory.map_arrays(np.copy, fixed.state)
    return FixedState(fixed.policy, memory.learn(fixed.policy, state, transitions))


def transitions_of_rows(
    *,
    observation: Floats,
    final: Floats,
    length: Longs,
    kind: Observation,
    num_los: int,
    actions: NDArray[Any],
    propensities: Doubles,
    items: Ints,
    correct: Codes,
    seconds: Floats,
    rewards: Floats,
    clock: Doubles,
) -> Transitions:
    """Return the interactions of complete episodes as rows of one Transitions.

    observation  (M, R) before each of the M interactions, episode by episode
    final        (E, R) after the last one of each episode
    length       (E,) interactions per episode
    others       (M,), as in Transitions
    """
    last = np.cumsum(length) - 1
    following = np.empty_like(observation)
    following[:-1] = observation[1:]
    following[last] = final
    ended = np.zeros(len(observation), np.bool_)
    ended[last] = True
    columns: dict[str, NDArray[Any]] = {
        "observation": observation,
        "next_observation": following,
        "actions": actions.astype(np.int64),
        "propensities": propensities.astype(np.float64),
        "items": items.astype(np.int32),
        "correct": np.where(np.isnan(seconds), np.int8(-1), correct.astype(np.int8)).astype(np.int8),
        "seconds": seconds.astype(np.float32),
        "rewards": rewards.astype(np.float32),
        "active": np.ones(len(observation), np.bool_),
        "ended": ended,
        "last_seconds": _last_seconds(seconds.astype(np.float32), length),
        "clock": clock,
    }
    return Transitions(kind=kind, num_los=num_los, **{name: _read_only(column) for name, column in columns.items()})


def rows_by_round(learner: Longs, size: int) -> Iterator[tuple[int, Longs]]:
    """Yield the number of each round, and the indices of its episodes, from the learners of episodes in order, (E,)."""
    number = learner // size
    for found in np.unique(number):
        yield int(found), np.flatnonzero(number == found)


def joined(parts: Sequence[Transitions]) -> Transitions:
    """Return the rows of several Transitions, one after another."""
    first = parts[0]
    columns: dict[str, Any] = {
        field.name: _read_only(np.concatenate([getattr(part, field.name) for part in parts]))
        for field in fields(Transitions)
        if isinstance(getattr(first, field.name), np.ndarray)
    }
    return replace(first, **columns)


def _last_seconds(seconds: Floats, length: Longs) -> Floats:
    """Return the response time of the last question so far in each episode, 0 before the first, (M,)."""
    start = np.repeat(np.cumsum(length) - length, length)
    row = np.maximum.accumulate(np.where(np.isnan(seconds), -1, np.arange(len(seconds))))
    return np.where(row >= start, seconds[row], np.float32(0)).astype(np.float32)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


__all__ = [
    "FixedState",
    "first_state",
    "joined",
    "next_state",
    "round_size_of",
    "rows_by_round",
    "transitions_of_rows",
]
