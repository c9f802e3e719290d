"""Protocol of teaching policies, their view of the learners, and their randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.mdp.actions import Entries, Index, encode_action, num_actions, split_actions
from alsim.types import Bools, Codes, Doubles, Floats, Ints, Longs, Observation, Words, short_repr

LARGEST_PROBABILITY = 1 + 1e-9
"""Largest number that is accepted as a probability of 1.

A sum of A probabilities in float64 has a relative error of at most (A - 1) 2**-53, which is below 1e-9 for up to nine
million actions. A float32 above 1 is at least 1 + 2**-23, and is refused.
"""


@short_repr
@dataclass(frozen=True)
class View:
    """View of N learners: their observations and the history of the policy's actions, without latent ability.

    Each list of the history has one array (N,) per interaction, oldest first. Entries of a lane after the end of
    its episode are undefined.
    """

    observation: Floats
    """Observations as the environment returns them, (N, R) float32, read-only."""
    kind: Observation
    """Kind of observation: "mastery" (clause S8.1) or "responses" (S8.2)."""
    num_los: int
    """Number of learning outcomes L."""
    active: Bools
    """True for lanes whose episode has not ended, (N,); actions for other lanes are ignored."""
    last_seconds: Floats
    """Response time of the last question, seconds, 0 before the first, (N,)."""
    actions: list[Longs] = field(default_factory=list)
    """Actions of the policy: t arrays (N,)."""
    items: list[Ints] = field(default_factory=list)
    """Items shown, as indices in the bank, questions first: t arrays (N,)."""
    correct: list[Codes] = field(default_factory=list)
    """1 correct, 0 wrong, -1 content: t arrays (N,)."""
    seconds: list[Floats] = field(default_factory=list)
    """Response times, seconds, NaN for content: t arrays (N,)."""
    clock: Doubles | None = None
    """Hours since the episode began, (N,); None if they are unknown. Read them as `hours`."""

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
        """Number of interactions so far, t."""
        return len(self.actions)

    @property
    def mastery(self) -> Floats:
        """Mastery of each LO, (N, L). Raises ValueError if the observation does not hold it."""
        if self.kind != "mastery":
            raise AlsimError(
                f"view.mastery needs observation='mastery'; got {self.kind!r}; pass this observation to the rollout"
            )
        return self.observation[:, : self.num_los]

    @property
    def hours(self) -> Doubles:
        """Hours since the episode began, with breaks between sessions, (N,) (clause S13.2).

        Raises ValueError for a view that was made without a clock.
        """
        if self.clock is None:
            raise AlsimError("view.hours needs a clock; this view was made without one: pass clock=... to View")
        return self.clock

    @property
    def frustration(self) -> Floats:
        """Frustration, (N,)."""
        return self.observation[:, -2]

    @property
    def asked(self) -> Longs:
        """Number of questions so far about each LO, (N, L). Rows of lanes whose episode has ended are undefined."""
        return self._counts(questions=True)

    @property
    def shown(self) -> Longs:
        """Number of contents so far about each LO, (N, L). Rows of lanes whose episode has ended are undefined."""
        return self._counts(questions=False)

    def _counts(self, *, questions: bool) -> Longs:
        """Return the number of questions, or else of contents, about each LO, (N, L)."""
        counts, lanes = np.zeros((self.num_lanes, self.num_los), np.int64), np.arange(self.num_lanes)
        for actions in self.actions:
            asks, lo, _ = split_actions(actions, self.num_los)
            counts[lanes, lo] += asks == questions
        return counts

    def question(self, lo: Index | Entries, difficulty: str | Index | Entries) -> Longs:
        """Return the action of each lane that asks a question, int64 (N,).

        lo          index of the learning outcome: (N,), or a number for all lanes
        difficulty  "Easy", "Medium" or "Hard", or its index: (N,), or one value for all lanes

        Raises ValueError for any other value.
        """
        return self._for_each_lane("question", lo, difficulty)

    def content(self, lo: Index | Entries, modality: str | Index | Entries) -> Longs:
        """Return the action of each lane that shows a content, int64 (N,).

        lo        index of the learning outcome: (N,), or a number for all lanes
        modality  "video", "PPT", "text", "blog", "article" or "handout", or its index: (N,), or one value for all lanes

        Raises ValueError for any other value.
        """
        return self._for_each_lane("content", lo, modality)

    def _for_each_lane(self, kind: str, lo: Index | Entries, level: str | Index | Entries) -> Longs:
        """Return a new array (N,) of actions. Raises AlsimError for invalid values, and for arrays of other shapes."""
        actions = encode_action(kind, lo, level, self.num_los)
        for shape in (np.shape(lo), np.shape(level)):
            if shape not in ((), (self.num_lanes,)):
                raise AlsimError(
                    "an action needs one outcome and one level for all lanes, or arrays of shape "
                    f"({self.num_lanes},); got the shape {shape}; select with np.where instead of a mask"
                )
        return np.broadcast_to(np.asarray(actions, np.int64), (self.num_lanes,)).copy()


class PolicyDraws:
    """Random numbers of a policy at one interaction; those of a lane do not depend on the batch (clause S11.1).

    Each call consumes numbers. The same calls in the same order return the same numbers.
    """

    def __init__(self, words: Callable[[int], NDArray[np.uint32]]) -> None:
        self._words = words
        self._block: NDArray[np.uint32] | None = None
        self._used = 0

    def __repr__(self) -> str:
        """Return the number of random words used so far."""
        return f"<PolicyDraws: {self._used} words per lane used>"

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
        """Return an integer drawn uniformly from [0, high) for each lane, (N,); `high` is a number or (N,)."""
        return ((self.words().astype(np.uint64) * np.asarray(high, np.uint64)) >> np.uint64(32)).astype(np.int64)


@runtime_checkable
class Policy(Protocol):
    """A teaching policy for a batch of learners."""

    name: str
    """Name of the policy in the manifest of a dataset."""

    def act(self, view: View, draws: PolicyDraws) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the action of each lane, integers (N,) in [0, A), and its probability, (N,) in (0, 1]."""
        ...


@runtime_checkable
class PolicyWithProbabilities(Policy, Protocol):
    """A policy that can compute the probability of every action, as `epsilon-greedy` requires of its base policy."""

    def probabilities(self, view: View) -> NDArray[Any]:
        """Return the probability of each action in each lane, (N, A) in [0, 1]; each row sums to 1.

        The entry of an action that `act` chooses is the probability that `act` returns for it. Rows of lanes whose
        episode has ended are undefined.
        """
        ...


def one_hot(actions: NDArray[Any], num_actions: int) -> Doubles:
    """Return probabilities (N, A) that are 1 for the action of each lane, (N,), and 0 for the others.

    A deterministic policy returns them from its method `probabilities`. A row is 0 if its action is not in [0, A).
    """
    return np.asarray(np.asarray(actions)[:, np.newaxis] == np.arange(num_actions), np.float64)
