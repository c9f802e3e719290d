"""What a teaching policy is: what it may see, its own randomness, what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.mdp.actions import num_actions
from alsim.types import Bools, Codes, Doubles, Floats, Ints, Longs, Observation, Words


@dataclass(frozen=True)
class View:
    """What a policy may see of N learners: observations, and its own past; never ability.

    The history lies interaction by interaction, (t, N), oldest first; of a lane whose episode is over,
    rows after its end mean nothing.
    """

    observation: Floats
    """(N, R) float32, as the environment's: read-only."""
    kind: Observation
    """"mastery" (clause S8.1) or "responses" (S8.2)."""
    num_los: int
    active: Bools
    """(N,) the lane's episode goes on; what is chosen for the others is not looked at."""
    last_seconds: Floats
    """(N,) seconds that the last question took, 0 before the first."""
    actions: list[Longs] = field(default_factory=list)
    """t arrays (N,): what the policy did."""
    items: list[Ints] = field(default_factory=list)
    """t arrays (N,): which item that was, as an index in the bank, questions first."""
    correct: list[Codes] = field(default_factory=list)
    """t arrays (N,): 1 correct, 0 wrong, -1 a content."""
    seconds: list[Floats] = field(default_factory=list)
    """t arrays (N,): response time, NaN for a content."""

    @property
    def num_lanes(self) -> int:
        """Number of lanes N."""
        return len(self.observation)

    @property
    def num_actions(self) -> int:
        """Number of actions A."""
        return num_actions(self.num_los)

    @property
    def step(self) -> int:
        """Interactions so far, t."""
        return len(self.actions)

    @property
    def mastery(self) -> Floats:
        """Mastery of each LO, (N, L). Raises ValueError where it is not observed."""
        if self.kind != "mastery":
            raise AlsimError(f"mastery is seen with observation='mastery' only; this policy sees {self.kind!r}")
        return self.observation[:, : self.num_los]

    @property
    def frustration(self) -> Floats:
        """Frustration, (N,)."""
        return self.observation[:, -2]


class PolicyDraws:
    """A policy's randomness at one interaction: each lane's own, the same in any batch (clause S11.1).

    Each call uses up numbers; the same calls in the same order give the same numbers.
    """

    def __init__(self, words: Callable[[int], NDArray[np.uint32]]) -> None:
        self._words = words
        self._block: NDArray[np.uint32] | None = None
        self._used = 0

    def words(self) -> Words:
        """Return the next random word of each lane, (N,) uint32."""
        block, column = divmod(self._used, 4)
        if column == 0 or self._block is None:
            self._block = self._words(block)
        self._used += 1
        return np.ascontiguousarray(self._block[:, column])

    def uniform(self) -> Doubles:
        """Return a uniform variate on (0, 1) for each lane, (N,) float64."""
        return np.asarray((self.words() + 0.5) / 2.0**32)

    def integers(self, high: int | NDArray[Any]) -> Longs:
        """Return an integer drawn uniformly from 0 … high - 1 for each lane, (N,); `high` a number or (N,)."""
        return ((self.words().astype(np.uint64) * np.asarray(high, np.uint64)) >> np.uint64(32)).astype(np.int64)


@runtime_checkable
class Policy(Protocol):
    """A teaching policy over a batch of learners."""

    name: str
    """Names the policy in a dataset's manifest."""

    def act(self, view: View, draws: PolicyDraws) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return an action for each lane, integers (N,) in [0, A), and the probability it had, (N,) in (0, 1]."""
        ...
