"""Adaptive testing as a policy: the most informative questions at the running ability estimate."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np

from alsim.errors import AlsimError
from alsim.mdp.actions import LEVELS
from alsim.models.irt.curves import curves
from alsim.policies.base import PolicyDraws, Transitions, View
from alsim.policies.binding import check_num_los
from alsim.policies.cells import NOMINAL, at_ability, cell_tables
from alsim.policies.checks import is_fraction
from alsim.policies.sampling import draw_in_parts, explored, mask_of, read_number, sums
from alsim.types import Bools, Codes, Course, Doubles, Longs, Observation, short_repr

NODES = np.linspace(-4, 4, 33)
"""Abilities of the posterior, (J,), logits: 1/4 logit apart, as in `alsim.models.irt.ability`."""


@short_repr
class CATState(NamedTuple):
    """State of adaptive tests in N lanes."""

    posterior: Doubles  # (N, J) posterior of ability at NODES, times the quadrature weight; its largest entry is 1
    asked: Longs  # (N, 3) number of Easy, Medium and Hard questions so far


# ── the algorithm, on arrays ─────────────────────────────────────────────────────────────────────


def start_posterior(lanes: int, mean: float = 0.0, sd: float = 1.0) -> Doubles:
    """Return the normal prior of ability at NODES, (N, J), times the weights of the trapezoid rule."""
    prior = np.exp(-(((NODES - mean) / sd) ** 2) / 2)
    prior[[0, -1]] /= 2
    return np.tile(prior / prior.max(), (lanes, 1))


def chances(course: Course) -> Doubles:
    """Return the probability of a correct answer to each question at NODES, (Q, J)."""
    return curves(NODES, *(x[:, np.newaxis] for x in (course.a, course.b, course.c)), 1.0)[0]


def record_answers(posterior: Doubles, lanes: Longs, chance: Doubles, correct: Codes) -> None:
    """Multiply the posterior of M lanes by the likelihood of one answer each, in place.

    lanes    (M,) different lanes; the others stay as they are
    chance   (M, J) probability of a correct answer at NODES
    correct  (M,) 1 or 0
    """
    likelihood = np.where(correct[:, np.newaxis] == 1, chance, 1 - chance)
    product = posterior[lanes] * likelihood
    posterior[lanes] = product / product.max(axis=1, keepdims=True)


def estimate(posterior: Doubles) -> tuple[Doubles, Doubles]:
    """Return the mean and the standard deviation of each posterior, (N, J), logits, (N,) each.

    Source: Bock & Mislevy (1982), Adaptive EAP estimation of ability in a microcomputer environment.
    """
    total = sums(posterior)
    mean = sums(posterior * NODES) / total
    variance = sums(posterior * (NODES - mean[:, np.newaxis]) ** 2) / total
    return mean, np.sqrt(variance)


def neediest_level(asked: Longs, blueprint: Doubles, available: Bools) -> Longs:
    """Return the difficulty furthest below its share of the questions so far, (N,), the easiest of equals.

    asked      (N, 3) number of questions of each difficulty so far
    blueprint  (3,) target shares; a difficulty with share 0 comes last
    available  (N, 3) False for difficulties without an allowed question

    Source: Kingsbury & Zara (1989), Procedures for selecting items for computerized adaptive tests.
    """
    total = np.maximum(asked.sum(axis=1, keepdims=True), 1)
    gaps = np.where(blueprint > 0, blueprint - asked / total, -2.0)  # a gap is at least -1
    return np.asarray(np.where(available, gaps, -3.0).argmax(axis=1))


def best(values: Doubles, allowed: Bools, count: int) -> Bools:
    """Return the entries with the `count` largest values among the allowed ones, the first of equals, (N, L)."""
    order = np.argsort(np.where(allowed, -values, np.inf), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(values.shape[1])[np.newaxis], axis=1)
    return np.asarray((ranks < count) & allowed)


def selection(
    information: Doubles, asked: Longs, blueprint: Doubles, randomesque: int, allowed: Bools | None = None
) -> Doubles:
    """Compute the probability of each question, (N, L, 3): uniform over the most informative ones of a difficulty.

    information  (N, L, 3) information of each question at the estimate of ability, 1/logit^2
    asked        (N, 3) number of questions of each difficulty so far
    blueprint    (3,) target shares of the difficulties
    randomesque  number of questions from which one is drawn
    allowed      (N, L, 3) questions that may be asked, None for all

    The difficulty is that of `neediest_level`. A row is 0 if no question is allowed.
    """
    may = np.ones(information.shape, np.bool_) if allowed is None else allowed
    level, lanes = neediest_level(asked, blueprint, np.asarray(may.any(axis=1))), np.arange(len(information))
    chosen = best(information[lanes, :, level], may[lanes, :, level], randomesque)
    odds = np.zeros(information.shape)
    odds[lanes, :, level] = chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1)
    return odds


# ── the policy ───────────────────────────────────────────────────────────────────────────────────


class CATPolicy:
    """Policy that asks the questions that tell most about ability.

    After each answer, it computes the posterior mean of ability (EAP) under the three-parameter model and a standard
    normal prior. The difficulty furthest below its share in the blueprint is next. Among the cells of this difficulty,
    one per LO, it draws uniformly from the `randomesque` cells with the largest mean information at the estimate.

    randomesque  number of best cells from which one is drawn, at least 1: larger numbers expose questions more evenly
    floor        probability of an action drawn uniformly from all allowed actions, contents included, in [0, 1]
    blueprint    shares of Easy, Medium and Hard questions; None for those of the configuration, 20/60/20 by default

    It reads answers only, and the item parameters of the bank (`bind`); without a bank, all LOs have one question of
    each difficulty, in the middle of the ranges of clause S2.2. While no question is allowed, it draws uniformly from
    all allowed actions. The ability of a learner counts as constant, although correct answers raise it a little.
    Raises AlsimError for invalid values.
    Source: Lord (1980) for maximum information; Bock & Mislevy (1982) for the estimate; Kingsbury & Zara (1989) for
    randomesque selection and the blueprint.
    """

    reads_mask = True
    reads: ClassVar[Observation | None] = None

    def __init__(self, randomesque: int = 5, floor: float = 0.05, *, blueprint: Sequence[float] | None = None) -> None:
        if isinstance(randomesque, bool) or not isinstance(randomesque, int) or randomesque < 1:
            raise AlsimError(f"the randomesque of cat must be an integer of at least 1; got {randomesque!r}")
        self.name = "cat"
        self.randomesque, self.floor = randomesque, read_number("cat", "floor", floor)
        self._own_blueprint = None if blueprint is None else _checked_blueprint(blueprint)
        self._know(NOMINAL, is_bank=False)

    def __repr__(self) -> str:
        """Return the parameters."""
        return f"<CATPolicy: randomesque={self.randomesque!r}, floor={self.floor!r}, blueprint={self.blueprint!r}>"

    @property
    def blueprint(self) -> tuple[float, float, float]:
        """Shares of Easy, Medium and Hard questions that the policy aims at."""
        return self._own_blueprint or self._course.blueprint

    @property
    def digest(self) -> str:
        """Text of the parameters, which the name does not identify; the course is in the manifest of a dataset."""
        return repr((self.randomesque, self.floor, self._own_blueprint))

    def bind(self, course: Course) -> Self:
        """Return a copy that reads the questions and the blueprint of a course."""
        twin = copy.copy(self)
        twin._know(course, is_bank=True)
        return twin

    def start(self, n: int) -> CATState:
        """Return the state of n lanes before the first answer."""
        return CATState(start_posterior(n), np.zeros((n, LEVELS), np.int64))

    def act(self, view: View, state: CATState, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability."""
        return draw_in_parts(lambda part: self._odds(view, state, part), draws.uniform(), view.num_actions)

    def probabilities(self, view: View, state: CATState, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A)."""
        return self._odds(view, state, slice(None))

    def learn(self, state: CATState, transitions: Transitions) -> None:
        """Update the posterior by the answers, in place."""
        x = transitions
        lanes = np.flatnonzero(x.active & x.asks)
        levels = x.levels[lanes]
        items = x.items[lanes] if self._is_bank else levels
        record_answers(state.posterior, lanes, self._chances[items], x.correct[lanes])
        state.asked[lanes, levels] += 1

    def _know(self, course: Course, *, is_bank: bool) -> None:
        """Compute the tables of a course; `is_bank` tells whether its questions are those of a bank."""
        self._course, self._is_bank = course, is_bank
        self._chances, self._information = chances(course), cell_tables(course).information

    def _odds(self, view: View, state: CATState, part: slice) -> Doubles:
        """Return the probability of each action in some lanes, (M, A)."""
        if self._is_bank:
            check_num_los(self.name, self._course, view.num_los)
        mask, cells = mask_of(view, part), LEVELS * view.num_los
        theta, _ = estimate(state.posterior[part])
        information = at_ability(self._information, theta, view.num_los)
        allowed = None if mask is None else mask[:, :cells].reshape(information.shape)
        chosen = selection(information, state.asked[part], np.array(self.blueprint), self.randomesque, allowed)
        odds = np.zeros((len(theta), view.num_actions))
        odds[:, :cells] = chosen.reshape(len(theta), cells)
        return explored(odds, mask, self.floor)


def _checked_blueprint(blueprint: Sequence[float]) -> tuple[float, float, float]:
    """Return shares of the difficulties. Raises AlsimError unless they are three numbers that sum to 1."""
    shares = tuple(blueprint)
    if len(shares) != LEVELS or not all(map(is_fraction, shares)) or abs(sum(shares) - 1) > 1e-6:
        raise AlsimError(
            f"the blueprint of cat must be three shares, of Easy, Medium and Hard, that sum to 1; got {blueprint!r}"
        )
    return float(shares[0]), float(shares[1]), float(shares[2])


__all__ = ["CATPolicy", "CATState"]
