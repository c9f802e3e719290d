"""Questions whose estimated chance of success is nearest a target."""

from __future__ import annotations

import copy
from typing import ClassVar, NamedTuple, Self

import numpy as np

from alsim.mdp.actions import LEVELS
from alsim.policies.base import PolicyDraws, Transitions, View
from alsim.policies.binding import capacity, check_num_los
from alsim.policies.cells import NOMINAL, at_abilities, cell_tables
from alsim.policies.sampling import draw_in_parts, explored, mask_of, read_number
from alsim.types import Bools, Codes, Course, Doubles, Longs, Observation, short_repr

STEP, DECAY = 1.0, 0.05
"""Uncertainty function of Elo ratings, STEP / (1 + DECAY n) after n answers."""


@short_repr
class EloState(NamedTuple):
    """Elo ratings of the learners in N lanes, for L outcomes."""

    ability: Doubles  # (N,) over all LOs, logits
    answers: Longs  # (N,) number of answers
    offset: Doubles  # (N, L) of each LO, logits, added to the ability
    answers_by_outcome: Longs  # (N, L) number of answers about each LO


# ── the algorithm, on arrays ─────────────────────────────────────────────────────────────────────


def start_ratings(lanes: int, num_los: int) -> EloState:
    """Return the ratings before the first answer: 0."""
    shape = lanes, num_los
    return EloState(np.zeros(lanes), np.zeros(lanes, np.int64), np.zeros(shape), np.zeros(shape, np.int64))


def record_answers(state: EloState, lanes: Longs, los: Longs, levels: Longs, correct: Codes, chance: Doubles) -> None:
    """Update the ratings by one answer in each of M lanes, in place.

    lanes    (M,) different lanes; the others stay as they are
    los      (M,) LO of each question
    levels   (M,) its difficulty
    correct  (M,) 1 or 0
    chance   table of the chance of success, see `cells.at_abilities`

        ability    += STEP / (1 + DECAY n) * (correct - P)      n answers before
        offset[lo] += STEP / (1 + DECAY n[lo]) * (correct - P)

    P is the mean chance of the questions of this LO and difficulty at ability + offset[lo], before the answer.
    Source: Pelanek (2016), Applications of the Elo rating system in adaptive educational systems, Computers &
    Education 98; Papousek, Pelanek & Stanislav (2014) for the two ratings of a learner.
    """
    estimated = at_abilities(chance, state.ability[lanes, np.newaxis] + state.offset[lanes])
    surprise = correct - estimated[np.arange(len(lanes)), los, levels]
    state.ability[lanes] += STEP / (1 + DECAY * state.answers[lanes]) * surprise
    state.offset[lanes, los] += STEP / (1 + DECAY * state.answers_by_outcome[lanes, los]) * surprise
    state.answers[lanes] += 1
    state.answers_by_outcome[lanes, los] += 1


def nearest(chance: Doubles, target: float, width: float, allowed: Bools | None = None) -> Doubles:
    """Compute the probability of each question, (N, K): uniform over those nearest the target.

    chance   (N, K) estimated chance of success of each question
    target   chance to aim at
    width    questions whose distance from the target exceeds the smallest distance by at most this count as equal
    allowed  (N, K) questions that may be asked, None for all

    A row is 0 if no question is allowed.
    """
    distance = np.abs(chance - target)
    if allowed is not None:
        distance = np.where(allowed, distance, np.inf)
    smallest = distance.min(axis=1, keepdims=True)
    chosen = (distance <= smallest + width) & np.isfinite(distance)
    return np.asarray(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1))


# ── the policy ───────────────────────────────────────────────────────────────────────────────────


class NearestChance:
    """Policy that asks questions near a target chance of success.

    It asks the question whose estimated chance of success is nearest the target.

    The chance of a question is the mean chance of its cell, the questions of this LO and difficulty, under the
    three-parameter model at the Elo rating of the learner in this LO. The rating is the sum of an ability and of an
    offset of the LO. Both begin at 0, and change after each answer by the difference between the answer and its
    estimated chance, in smaller and smaller steps.

    target  chance of success to aim at, in [0, 1]
    floor   probability of an action drawn uniformly from all allowed actions, contents included, in [0, 1]
    width   questions whose distance from the target exceeds the smallest distance by at most this are ties, and one of
            them is drawn uniformly; in [0, 1]

    It reads answers only, and the item parameters of the bank (`bind`); without a bank, all LOs have one question of
    each difficulty, in the middle of the ranges of clause S2.2. While no question is allowed, it draws uniformly from
    all allowed actions. Raises AlsimError for invalid values.
    Source: Papousek, Pelanek & Stanislav (2014), Adaptive practice of facts in domains with varied prior knowledge
    (EDM), for ratings and target; Pelanek (2016) for the steps.
    """

    reads_mask = True
    reads: ClassVar[Observation | None] = None

    def __init__(self, target: float = 0.7, floor: float = 0.05, width: float = 0.05) -> None:
        self.name = "zpd"
        self.target, self.floor = read_number("zpd", "target", target), read_number("zpd", "floor", floor)
        self.width = read_number("zpd", "width", width)
        self._course: Course | None = None
        self._chance = cell_tables(NOMINAL).chance

    def __repr__(self) -> str:
        """Return the parameters."""
        return f"<NearestChance: target={self.target!r}, floor={self.floor!r}, width={self.width!r}>"

    @property
    def digest(self) -> str:
        """Text of the parameters, which the name does not identify."""
        return repr((self.target, self.floor, self.width))

    def bind(self, course: Course) -> Self:
        """Return a copy that reads the questions of a course."""
        twin = copy.copy(self)
        twin._course, twin._chance = course, cell_tables(course).chance
        return twin

    def start(self, n: int) -> EloState:
        """Return the state of n lanes before the first answer."""
        return start_ratings(n, capacity(self._course))

    def act(self, view: View, state: EloState, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability."""
        return draw_in_parts(lambda part: self._odds(view, state, part), draws.uniform(), view.num_actions)

    def probabilities(self, view: View, state: EloState, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A)."""
        return self._odds(view, state, slice(None))

    def learn(self, state: EloState, transitions: Transitions) -> None:
        """Update the ratings by the answers, in place."""
        x = transitions
        check_num_los(self.name, self._course, x.num_los)
        lanes = np.flatnonzero(x.active & x.asks)
        record_answers(state, lanes, x.los[lanes], x.levels[lanes], x.correct[lanes], self._chance)

    def _odds(self, view: View, state: EloState, part: slice) -> Doubles:
        """Return the probability of each action in some lanes, (M, A)."""
        check_num_los(self.name, self._course, view.num_los)
        mask, cells = mask_of(view, part), LEVELS * view.num_los
        rating = state.ability[part, np.newaxis] + state.offset[part, : view.num_los]
        chance = at_abilities(self._chance, rating).reshape(len(rating), cells)
        odds = np.zeros((len(rating), view.num_actions))
        odds[:, :cells] = nearest(chance, self.target, self.width, None if mask is None else mask[:, :cells])
        return explored(odds, mask, self.floor)


__all__ = ["EloState", "NearestChance"]
