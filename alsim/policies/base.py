"""Protocol of teaching policies, their view of the learners, and their randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, get_args, runtime_checkable

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


class Truth(Protocol):
    """Access of a policy with `needs_truth` to the true state of the learners (clause S15.1)."""

    def gains(self, actions: Longs, samples: int) -> Doubles:
        """Return the mean gain of mastery, summed over LOs, after sequences of actions (N, C, H), (N, C)."""
        ...


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
    mask: Bools | None = None
    """True for allowed actions, (N, A), read-only, at least one in each active lane; None if all are allowed."""
    truth: Truth | None = None
    """Access to the true state, for policies with `needs_truth`; None for all others."""

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
        return _mastery_of(self.observation, self.kind, self.num_los, "view.mastery")

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


@short_repr
@dataclass(frozen=True)
class Transitions:
    """One interaction of each of N lanes, from which a policy with memory learns.

    A policy that learns across learners receives the interactions of a whole round instead: one per row, ordered by
    learner, episode and step. All arrays are read-only.
    """

    observation: Floats
    """Observations before the interaction, (N, R) float32."""
    next_observation: Floats
    """Observations after the interaction, also after the last one of an episode, (N, R) float32."""
    kind: Observation
    """Kind of observation: "mastery" (clause S8.1) or "responses" (S8.2)."""
    num_los: int
    """Number of learning outcomes L."""
    actions: Longs
    """Actions, (N,)."""
    propensities: Doubles
    """Probability of each action, as `act` returned it, (N,)."""
    items: Ints
    """Items shown, as indices in the bank, questions first, (N,)."""
    correct: Codes
    """1 correct, 0 wrong, -1 content, (N,)."""
    seconds: Floats
    """Response times, seconds, NaN for content, (N,)."""
    rewards: Floats
    """Rewards (clause S6), (N,)."""
    active: Bools
    """False in lanes whose episode had ended before: the other entries of the lane are undefined, (N,)."""
    ended: Bools
    """True in lanes whose episode ended with this interaction, (N,)."""
    last_seconds: Floats
    """Response time of the last question so far, seconds, 0 before the first, (N,)."""
    clock: Doubles | None = None
    """Hours since the episode began, after the interaction and a break: when the next one begins, (N,); None if they
    are unknown."""

    @property
    def num_lanes(self) -> int:
        """Number of lanes N, or of rows."""
        return len(self.actions)

    @property
    def num_actions(self) -> int:
        """Number of actions A."""
        return num_actions(self.num_los)

    @property
    def mastery(self) -> Floats:
        """Mastery of each LO before the interaction, (N, L). Raises ValueError if it is not observed."""
        return _mastery_of(self.observation, self.kind, self.num_los, "transitions.mastery")

    @property
    def next_mastery(self) -> Floats:
        """Mastery of each LO after the interaction, (N, L). Raises ValueError if it is not observed."""
        return _mastery_of(self.next_observation, self.kind, self.num_los, "transitions.next_mastery")

    @property
    def asks(self) -> Bools:
        """True for questions, False for contents, (N,)."""
        return np.asarray(split_actions(self.actions, self.num_los)[0], np.bool_)

    @property
    def los(self) -> Longs:
        """LO of each interaction, (N,)."""
        return np.asarray(split_actions(self.actions, self.num_los)[1], np.int64)

    @property
    def levels(self) -> Longs:
        """Index of the difficulty of a question, or of the modality of a content, (N,)."""
        return np.asarray(split_actions(self.actions, self.num_los)[2], np.int64)


def _mastery_of(observation: Floats, kind: Observation, num_los: int, attribute: str) -> Floats:
    """Return the mastery in observations, (N, L). Raises AlsimError, with the attribute, if they do not hold it."""
    if kind != "mastery":
        raise AlsimError(f"{attribute} needs observation='mastery'; got {kind!r}; pass this observation to the rollout")
    return observation[:, :num_los]


class PolicyDraws:
    """Random numbers of a policy at one interaction; those of a lane do not depend on the batch (clause S11.1).

    Each call consumes numbers. The same calls in the same order return the same numbers.
    """

    def __init__(self, words: Callable[[int], NDArray[np.uint32]]) -> None:
        self._words = words
        self._block: NDArray[np.uint32] | None = None
        self._used = 0

    def copy(self) -> PolicyDraws:
        """Return draws with the same following numbers; calls of one do not consume numbers of the other."""
        copied = PolicyDraws(self._words)
        copied._used = self._used
        return copied

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
    """A teaching policy for a batch of learners.

    A policy without memory has `act(view, draws)`. One with memory has a method `start` too, see `PolicyWithMemory`.
    """

    name: str
    """Name of the policy in the manifest of a dataset."""

    def act(self, *args: Any, **kwargs: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the action of each lane, integers (N,) in [0, A), and its probability, (N,) in (0, 1].

        The arguments are `view, draws`, or `view, state, draws` for a policy with memory.
        """
        ...


@runtime_checkable
class PolicyWithMemory(Protocol):
    """A teaching policy that keeps a state of each lane during an episode.

    The state is an array, or a tuple, list, dict, NamedTuple or dataclass of arrays. The first axis of each array has
    one entry per lane.
    """

    name: str

    def start(self, n: int) -> Any:
        """Return the state of n lanes at the start of an episode."""
        ...

    def act(self, view: View, state: Any, draws: PolicyDraws) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the action of each lane and its probability, (N,) each; the state stays as it is."""
        ...

    def learn(self, state: Any, transitions: Transitions) -> Any:
        """Update the state after an interaction; return the new state, or None if the arrays were changed in place."""
        ...


@runtime_checkable
class PolicyWithProbabilities(Protocol):
    """A policy that can compute the probability of every action, as `epsilon-greedy` requires of its base policy."""

    name: str

    def act(self, *args: Any, **kwargs: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the action of each lane and its probability, see `Policy`."""
        ...

    def probabilities(self, *args: Any, **kwargs: Any) -> NDArray[Any]:
        """Return the probability of each action in each lane, (N, A) in [0, 1]; each row sums to 1.

        The arguments are those of `act`; a policy without memory may leave out `draws`. The entry of an action that
        `act` chooses is the probability that `act` returns for it. Rows of lanes whose episode has ended are undefined.
        """
        ...


def has_memory(policy: Any) -> bool:
    """Return whether a policy keeps a state of each lane: whether it has a method `start`."""
    return callable(getattr(policy, "start", None))


def check_observation(policy: Any, kind: Observation) -> None:
    """Raise AlsimError, which names the policy, if its attribute `reads` is another kind of observation."""
    reads = getattr(policy, "reads", None)
    if reads != kind and reads in get_args(Observation):
        raise AlsimError(
            f"the policy {policy.name!r} needs observation={reads!r}; got {kind!r}; pass "
            f"observation={reads!r} (--observation {reads})"
        )


def one_hot(actions: NDArray[Any], num_actions: int) -> Doubles:
    """Return probabilities (N, A) that are 1 for the action of each lane, (N,), and 0 for the others.

    A deterministic policy returns them from its method `probabilities`. A row is 0 if its action is not in [0, A).
    """
    return np.asarray(np.asarray(actions)[:, np.newaxis] == np.arange(num_actions), np.float64)
