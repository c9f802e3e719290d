"""Base of the schedulers: order of introduction, actions, times, masks and the floor."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from alsim.errors import AlsimError
from alsim.policies.base import PolicyDraws, Transitions, View
from alsim.policies.binding import capacity, check_num_los
from alsim.policies.checks import is_fraction
from alsim.policies.memory import map_arrays
from alsim.policies.parents import padded_parents, ready
from alsim.policies.sampling import explored, mask_of, read_number
from alsim.policies.schedulers.options import Options, action_at, places_of
from alsim.policies.schedulers.outcomes import Plan, Situation, nth
from alsim.types import Bools, Codes, Course, Doubles, Longs, Observation, short_repr

HOURS_PER_DAY = 24.0
LANES_AT_ONCE = 2**13
"""Largest number of lanes for which actions are chosen at once: their arrays (N, L) stay in the cache."""


class ScheduleState(Protocol):
    """Arrays that the state of every scheduler has, besides its own."""

    @property
    def clock(self) -> Doubles:
        """Hours since the episode began, at the end of the last interaction and of a break after it, (N,)."""
        ...

    @property
    def introduced(self) -> Bools:
        """True for LOs that have been presented, (N, L)."""
        ...


State = TypeVar("State", bound=ScheduleState)


@short_repr
class Presentations(NamedTuple):
    """One presentation of an LO in each of M lanes."""

    lanes: Longs  # (M,) different lanes
    los: Longs  # (M,) LO
    hours: Doubles  # (M,) start of the interaction, hours since the episode began
    correct: Codes  # (M,) 1 correct, 0 wrong, -1 content


class Scheduler(ABC, Generic[State]):
    """Policy that reviews LOs when they are due.

    floor       probability of an action drawn uniformly from all allowed actions, in [0, 1]
    difficulty  "any", "Easy", "Medium" or "Hard": of the questions; "any" draws uniformly from the allowed ones
    first       "question" or "content": how an LO is presented the first time; a content has any modality, uniformly

    New LOs are introduced in the order of their index; with a curriculum in the course (`bind`), after their parents.
    While no LO can be presented, the policy draws uniformly from all allowed actions. It knows what was shown and
    answered, and the clock. The time of a presentation is the start of its interaction.
    """

    reads_mask = True
    reads: ClassVar[Observation | None] = None
    own: ClassVar[tuple[str, ...]]
    """Names of the attributes that are parameters, besides those of every scheduler."""

    def __init__(self, name: str, floor: float, difficulty: str, first: str) -> None:
        self.name = name
        self.floor, self.difficulty, self.first = read_number(name, "floor", floor), difficulty, first
        self._options = Options(name, difficulty, first)
        self._course: Course | None = None
        self._parents: Longs | None = None

    def __repr__(self) -> str:
        """Return the parameters."""
        return f"<{type(self).__name__}: {', '.join(f'{key}={value!r}' for key, value in self._parameters())}>"

    @property
    def digest(self) -> str:
        """Text of the parameters, which the name does not identify."""
        return repr(self._parameters())

    def bind(self, course: Course) -> Self:
        """Return a copy that knows the number of LOs and the curriculum of a course."""
        twin = copy.copy(self)
        twin._course = course
        twin._parents = padded_parents(course.prerequisites) if any(course.prerequisites) else None
        return twin

    def start(self, n: int) -> State:
        """Return the state of n lanes before the first interaction."""
        return self.start_state(n, capacity(self._course))

    def act(self, view: View, state: State, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability."""
        hours = self._hours(view, state)
        variates = [draws.uniform() for _ in range(3)]
        actions, propensities = np.zeros(view.num_lanes, np.int64), np.zeros(view.num_lanes)
        for part in _parts(view.num_lanes):
            own = [variate[part] for variate in variates]
            actions[part], propensities[part] = self._choose(view, state, hours, part, *own)
        return actions, propensities

    def probabilities(self, view: View, state: State, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A)."""
        allowed, num_los = mask_of(view, slice(None)), view.num_los
        known, plan = self._plan(view, state, self._hours(view, state), slice(None))
        may = self._options.of_all(known, allowed)
        los, _ = places_of(np.arange(view.num_actions), num_los)
        counts = self._options.count(may, num_los)
        odds = plan.shares(num_los) / np.maximum(counts, 1)
        return explored(np.where(may, odds[:, los], 0.0), allowed, self.floor)

    def learn(self, state: State, transitions: Transitions) -> None:
        """Record the presentations and advance the clock, in place."""
        x = transitions
        check_num_los(self.name, self._course, x.num_los)
        if x.clock is None:
            raise AlsimError(f"the policy {self.name!r} needs the time after each interaction: pass Transitions.clock")
        self._check_time(x.clock, state, x.active)
        lanes = np.flatnonzero(x.active)
        shown = Presentations(lanes, x.los[lanes], state.clock[lanes], x.correct[lanes])
        self.record(state, shown)
        state.introduced[shown.lanes, shown.los] = True
        state.clock[lanes] = x.clock[lanes]

    @abstractmethod
    def start_state(self, lanes: int, num_los: int) -> State:
        """Return the state of the lanes before the first interaction."""

    @abstractmethod
    def plan(self, state: State, now: Situation) -> Plan:
        """Return the distribution over the LOs that are presented next."""

    @abstractmethod
    def record(self, state: State, shown: Presentations) -> None:
        """Update the arrays of this scheduler by presentations, in place; not `clock` and `introduced`."""

    def _parameters(self) -> list[tuple[str, Any]]:
        """Return the names and values of the parameters."""
        return [(name, getattr(self, name)) for name in (*self.own, "floor", "difficulty", "first")]

    def _hours(self, view: View, state: State) -> Doubles:
        """Return the time of each lane, (N,). Before the first presentation, no time is needed.

        Raises AlsimError for a view without a clock, or whose clock is before that of the state.
        """
        check_num_los(self.name, self._course, view.num_los)
        if view.clock is None and not state.introduced.any():
            return state.clock
        self._check_time(view.hours, state, view.active)
        return view.hours

    def _check_time(self, hours: Doubles, state: State, active: Bools) -> None:
        """Raise AlsimError if the clock of an active lane runs backwards, or is not a number."""
        wrong = active & ~(hours >= state.clock)
        if wrong.any():
            lane = int(np.argmax(wrong))
            raise AlsimError(
                f"the clock of the policy {self.name!r} must not run backwards; got {hours[lane]} hours in lane {lane} "
                f"after {state.clock[lane]} hours: pass hours since the episode began"
            )

    def _plan(self, view: View, state: State, hours: Doubles, part: slice) -> tuple[Bools, Plan]:
        """Return which LOs of some lanes have been presented, (M, L), and the distribution over the next LO."""
        # Without a course, there is memory for more LOs than the view has.
        own = map_arrays(lambda array: array[part] if array.ndim == 1 else array[part, : view.num_los], state)
        known = own.introduced
        may_begin, may_review = self._options.outcomes(mask_of(view, part), view.num_los)
        new = ~known & may_begin
        if self._parents is not None:
            new &= ready(known, self._parents)
        return known, self.plan(own, Situation(hours[part], known & may_review, new))

    def _choose(
        self, view: View, state: State, hours: Doubles, part: slice, which: Doubles, how: Doubles, level: Doubles
    ) -> tuple[Longs, Doubles]:
        """Return the actions of some lanes and their probabilities, (M,) each, from three variates on (0, 1)."""
        allowed, lanes = mask_of(view, part), np.arange(len(which))
        known, plan = self._plan(view, state, hours, part)
        lo = plan.draw(which)
        is_there, lo = lo >= 0, np.maximum(lo, 0)
        may = self._options.of(lo, known[lanes, lo], allowed)
        place = nth(may, level, may.sum(axis=1))
        some = np.flatnonzero((how < self.floor) | ~is_there)  # lanes that explore: the action may be about another LO
        if len(some):
            own = None if allowed is None else allowed[some]
            lo[some], place[some] = places_of(_any_action(own, level[some], view.num_actions), view.num_los)
            may[some] = self._options.of(lo[some], known[some, lo[some]], own)
        share = np.where(may[lanes, place], plan.share(lo) / np.maximum(may.sum(axis=1), 1), 0.0)
        uniform = 1 / (view.num_actions if allowed is None else np.maximum(allowed.sum(axis=1), 1))
        odds = np.where(is_there, self.floor * uniform + (1 - self.floor) * share, uniform)
        return action_at(lo, place, view.num_los), odds


def _parts(lanes: int) -> Iterator[slice]:
    """Yield slices of at most LANES_AT_ONCE lanes."""
    for first in range(0, lanes, LANES_AT_ONCE):
        yield slice(first, min(first + LANES_AT_ONCE, lanes))


def _any_action(allowed: Bools | None, uniform: Doubles, num_actions: int) -> Longs:
    """Return an action drawn uniformly from the allowed ones, (M,)."""
    if allowed is None:
        return (uniform * num_actions).astype(np.int64)
    return nth(allowed, uniform, allowed.sum(axis=1))


def read_inside(policy: str, parameter: str, value: Any) -> float:
    """Return a parameter of a policy in (0, 1). Raises AlsimError."""
    if not is_fraction(value) or value in (0, 1):
        raise AlsimError(f"the {parameter} of {policy} must be a number in (0, 1); got {value!r}: 0 and 1 are excluded")
    return float(value)


def read_positive(policy: str, parameter: str, value: Any, *, zero: bool = False) -> float:
    """Return a parameter of a policy above 0, or from 0 if `zero`, and finite. Raises AlsimError."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not np.isfinite(value) or value < 0 or (value == 0 and not zero):
        bound = "from 0" if zero else "above 0"
        raise AlsimError(f"the {parameter} of {policy} must be a finite number {bound}; got {value!r}")
    return float(value)


__all__ = ["Presentations", "ScheduleState", "Scheduler", "read_inside", "read_positive"]
