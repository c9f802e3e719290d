"""ZPDES: questions of the zone of proximal development, chosen by the learning progress of each activity."""

from __future__ import annotations

import copy
from typing import ClassVar, NamedTuple, Self

import numpy as np

from alsim.errors import AlsimError
from alsim.mdp.actions import LEVELS
from alsim.policies.base import PolicyDraws, Transitions, View
from alsim.policies.binding import capacity, check_num_los
from alsim.policies.parents import padded_parents, ready
from alsim.policies.sampling import draw_in_parts, explored, mask_of, read_number, sums
from alsim.types import DIFFICULTIES, Bools, Codes, Course, Doubles, Ints, Longs, Observation, short_repr

VARIANTS = ("clement", "mu")
OPENING_LEVEL = DIFFICULTIES.index("Medium")
"""Difficulty that must be mastered in a prerequisite before the questions of an LO enter the zone."""


@short_repr
class ZoneRule(NamedTuple):
    """Parameters of ZPDES."""

    variant: str = "clement"  # "clement": weights with a learning rate; "mu": means of the learning progress
    history: int = 2  # answers in each of the two success rates whose difference is the learning progress
    skip: int = 2  # answers between the ends of the two
    attempts: int = 4  # last answers whose success rate decides about mastery
    threshold: float = 0.75  # success rate from which an activity is mastered
    gamma: float = 0.1  # share of uniform choices within the zone
    initial_weight: float = 0.5
    multiplier: float = 4.0  # "mu": factor of the first weight of an activity that enters the zone later
    min_weight: float = 0.001
    beta: float = 0.9  # "clement": share of the previous weight that is kept
    eta: float = 0.4  # "clement": learning rate

    @property
    def memory(self) -> int:
        """Number of last answers that the rule reads."""
        return max(self.history + self.skip, self.attempts)


@short_repr
class ZoneState(NamedTuple):
    """State of K activities in each of N lanes."""

    answers: Codes  # (N, K, H) last H answers, the latest last: 1 correct, 0 wrong
    counts: Ints  # (N, K) number of answers
    value: Doubles  # (N, K) "clement": weight; "mu": sum of the learning progress so far
    mastered: Bools  # (N, K)


# ── the algorithm, on arrays ─────────────────────────────────────────────────────────────────────


def start_zone(lanes: int, activities: int, p: ZoneRule) -> ZoneState:
    """Return the state of K activities before the first answer."""
    shape = lanes, activities
    return ZoneState(
        answers=np.zeros((*shape, p.memory), np.int8),
        counts=np.zeros(shape, np.int32),
        value=np.full(shape, p.initial_weight if p.variant == "clement" else 0.0),
        mastered=np.zeros(shape, np.bool_),
    )


def zone(mastered: Bools, parents: Longs) -> Bools:
    """Return the zone of proximal development: activities that are not mastered, but whose parents all are, (N, K).

    mastered  (N, K)
    parents   (K, P) see `padded_parents`
    """
    return np.asarray(ready(mastered, parents) & ~mastered)


def weights(state: ZoneState, parents: Longs, p: ZoneRule) -> Doubles:
    """Return the weight of each activity, whether it is in the zone or not, (N, K), at least `min_weight`.

    Under "clement", the weight after an answer is beta w + eta r, where r is the learning progress. Under "mu", it is
    the mean of a list: two initial weights, then each r. The first entry is dropped once there are more than two, and
    is `multiplier` times as large for an activity that entered the zone after the start.
    """
    if p.variant == "clement":
        return np.maximum(state.value, p.min_weight)
    enters_later = (parents < len(parents)).any(axis=1)
    first = np.where(enters_later, p.initial_weight * p.multiplier, p.initial_weight)
    progresses = np.maximum(state.counts - (p.history + p.skip) + 1, 0)
    means = np.where(
        progresses > 0, (p.initial_weight + state.value) / (1 + progresses), (first + p.initial_weight) / 2
    )
    return np.maximum(means, p.min_weight)


def zone_probabilities(state: ZoneState, parents: Longs, p: ZoneRule, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each activity, (N, K): (1 - gamma) w / sum(w) + gamma / size of the zone.

    allowed  (N, K) activities that may be chosen, None for all; the others are taken out of the zone

    A row is 0 if no activity of the zone is allowed.
    """
    candidates = zone(state.mastered, parents)
    if allowed is not None:
        candidates &= allowed
    weight = np.where(candidates, weights(state, parents, p), 0.0)
    total, size = sums(weight)[:, np.newaxis], candidates.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # an empty zone
        odds = (1 - p.gamma) * weight / total + p.gamma / size
    return np.where(candidates, odds, 0.0)


def learning_progress(answers: Codes, p: ZoneRule) -> Doubles:
    """Return the learning progress from the last answers, (M, H): a difference of two success rates, (M,).

    The success rate of the last `history` answers, minus that of the `history` answers that ended `skip` earlier.
    """
    stop = answers.shape[1]
    recent = answers[:, stop - p.history :].sum(axis=1)
    before = answers[:, stop - p.skip - p.history : stop - p.skip].sum(axis=1)
    return np.asarray((recent - before) / p.history)


def record_answers(
    state: ZoneState, lanes: Longs, activities: Longs, correct: Codes, parents: Longs, p: ZoneRule
) -> None:
    """Update the state by one answer in each of M lanes, in place.

    lanes       (M,) different lanes; the others stay as they are
    activities  (M,) activity of each answer
    correct     (M,) 1 or 0

    An answer to an activity outside the zone, which only exploration asks, changes nothing.
    """
    inside = _in_zone(state.mastered, lanes, activities, parents)
    lanes, activities, correct = lanes[inside], activities[inside], correct[inside]
    answers = np.concatenate([state.answers[lanes, activities, 1:], correct[:, np.newaxis]], axis=1)
    state.answers[lanes, activities] = answers
    state.counts[lanes, activities] += 1
    counts, value = state.counts[lanes, activities], state.value[lanes, activities]
    progress = learning_progress(answers, p)
    if p.variant == "clement":
        after = p.beta * value + p.eta * progress
    else:
        after = value + progress
    state.value[lanes, activities] = np.where(counts >= p.history + p.skip, after, value)
    rate = answers[:, answers.shape[1] - p.attempts :].sum(axis=1) / p.attempts
    state.mastered[lanes, activities] = (counts >= p.attempts) & (rate >= p.threshold)


def _in_zone(mastered: Bools, lanes: Longs, activities: Longs, parents: Longs) -> Bools:
    """Return whether one activity per lane is in the zone, (M,)."""
    listed = parents[activities]
    known = mastered[lanes[:, np.newaxis], np.minimum(listed, mastered.shape[1] - 1)] | (listed == len(parents))
    return np.asarray(known.all(axis=1) & ~mastered[lanes, activities])


# ── the policy ───────────────────────────────────────────────────────────────────────────────────


def activity_parents(num_los: int, prerequisites: tuple[tuple[int, ...], ...] = ()) -> Longs:
    """Return the parents of the 3 L activities of a course, the questions of each LO and difficulty, (3 L, P).

    Medium questions come after the Easy ones of the same LO, and Hard ones after Medium. The Easy questions of an LO
    come after the Medium ones of its prerequisites.
    """
    listed: list[list[int]] = []
    for lo in range(num_los):
        known = prerequisites[lo] if prerequisites else ()
        listed.append([LEVELS * parent + OPENING_LEVEL for parent in known])
        listed += [[LEVELS * lo + level - 1] for level in range(1, LEVELS)]
    return padded_parents(listed)


class ZPDES:
    """Policy that asks questions with the most learning progress.

    It asks questions of the zone of proximal development, those with the largest learning progress most.

    An activity is the questions of one LO and one difficulty. It is mastered if at least `threshold` of its last four
    answers are correct. The zone holds the activities that are not mastered, but whose parents are: Easy before Medium
    before Hard, and the Medium questions of an LO's prerequisites before its Easy ones. Within the zone, an activity is
    drawn with a probability that grows with its recent learning progress.

    threshold  success rate of mastery, in (0, 1]
    floor      probability of an action drawn uniformly from all allowed actions, contents included, in [0, 1]
    variant    "clement", weights with a learning rate; or "mu", means of the learning progress
    rule       further parameters

    It reads answers only. While no activity of the zone is allowed, it draws uniformly from all allowed actions.
    Raises AlsimError for invalid values.
    Source: Clement, Roy, Oudeyer & Lopes (2015), Multi-armed bandits for intelligent tutoring systems, JEDM 7(2);
    Mu, Goel & Brunskill (2017), Program2Tutor: combining automatic curriculum generation with multi-armed bandits for
    intelligent tutoring systems. The zone is that of Mu et al. in both variants.
    """

    reads_mask = True
    reads: ClassVar[Observation | None] = None

    def __init__(
        self, threshold: float = 0.75, floor: float = 0.05, variant: str = "clement", *, rule: ZoneRule | None = None
    ) -> None:
        if variant not in VARIANTS:
            raise AlsimError(f"the variant of zpdes must be one of {', '.join(VARIANTS)}; got {variant!r}")
        self.name = "zpdes"
        self.floor = read_number("zpdes", "floor", floor)
        limit = read_number("zpdes", "threshold", threshold, positive=True)
        self.rule = _checked(ZoneRule() if rule is None else rule)._replace(threshold=limit, variant=variant)
        self._course: Course | None = None
        self._parents = activity_parents(capacity(None))

    def __repr__(self) -> str:
        """Return the parameters."""
        return f"<ZPDES: threshold={self.rule.threshold!r}, floor={self.floor!r}, variant={self.rule.variant!r}>"

    @property
    def digest(self) -> str:
        """Text of the parameters, which the name does not identify."""
        return repr((self.floor, *self.rule))

    def bind(self, course: Course) -> Self:
        """Return a copy that reads the curriculum of a course."""
        twin = copy.copy(self)
        twin._course, twin._parents = course, activity_parents(course.num_los, course.prerequisites)
        return twin

    def start(self, n: int) -> ZoneState:
        """Return the state of n lanes before the first answer."""
        return start_zone(n, LEVELS * capacity(self._course), self.rule)

    def act(self, view: View, state: ZoneState, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability."""
        return draw_in_parts(lambda part: self._odds(view, state, part), draws.uniform(), view.num_actions)

    def probabilities(self, view: View, state: ZoneState, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A)."""
        return self._odds(view, state, slice(None))

    def learn(self, state: ZoneState, transitions: Transitions) -> None:
        """Record the answers, in place."""
        x = transitions
        check_num_los(self.name, self._course, x.num_los)
        lanes = np.flatnonzero(x.active & x.asks)
        record_answers(state, lanes, x.actions[lanes], x.correct[lanes], self._parents, self.rule)

    def _odds(self, view: View, state: ZoneState, part: slice) -> Doubles:
        """Return the probability of each action in some lanes, (M, A)."""
        check_num_los(self.name, self._course, view.num_los)
        mask = mask_of(view, part)
        cells = LEVELS * view.num_los
        own = ZoneState(state.answers[part], state.counts[part], state.value[part], state.mastered[part])
        known = np.arange(own.mastered.shape[1]) < cells  # without a course, there is memory for more LOs
        allowed = np.broadcast_to(known, own.mastered.shape).copy()
        if mask is not None:
            allowed[:, :cells] &= mask[:, :cells]
        odds = np.zeros((len(own.mastered), view.num_actions))
        odds[:, :cells] = zone_probabilities(own, self._parents, self.rule, allowed)[:, :cells]
        return explored(odds, mask, self.floor)


def _checked(rule: ZoneRule) -> ZoneRule:
    """Return parameters of ZPDES. Raises AlsimError for values out of range."""
    for name in ("history", "skip", "attempts"):
        value = getattr(rule, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
            raise AlsimError(f"the {name} of zpdes must be an integer from 1 to 100; got {value!r}")
    for name in ("gamma", "beta", "eta"):
        read_number("zpdes", name, getattr(rule, name))
    for name in ("initial_weight", "multiplier", "min_weight"):
        value = getattr(rule, name)
        if not isinstance(value, int | float) or not 0 < value < np.inf:
            raise AlsimError(f"the {name} of zpdes must be a positive number; got {value!r}")
    return rule


__all__ = ["ZPDES", "ZoneRule", "ZoneState"]
